// Made by `cargo xtask plugins`. Not to be edited.
&[
    Stock {
        name: "budget",
        kinds: &["restart-policy"],
        summary: "So many restarts in so much time, then longer pauses, then none",
        sha256: "fa3d96cae8eb2ad6dc9f47a672d9add2d00830374dc0512f27e0b911b4d101de",
        component: component!("budget.wasm"),
    },
    Stock {
        name: "exit-codes",
        kinds: &["restart-policy"],
        summary: "A table from exit code or signal to what follows",
        sha256: "76ae942c5516de031671de54bba5053906b6f762d6fb5e119f80812d269b7d98",
        component: component!("exit-codes.wasm"),
    },
    Stock {
        name: "file",
        kinds: &["event-sink"],
        summary: "Events as lines of a rotated file",
        sha256: "a2dd643edde95f58182f8c85dec7095dd4726806bab8475d39a3f9e16145d5a6",
        component: component!("file.wasm"),
    },
    Stock {
        name: "http",
        kinds: &["health-check"],
        summary: "An HTTP request: status, headers, body, JSON values, expiry of the certificate",
        sha256: "d75dcae415f0a2ab8142bc9d77a8040a14143702e1178cdb7d67ac77cc9b3a04",
        component: component!("http.wasm"),
    },
    Stock {
        name: "quiet-hours",
        kinds: &["restart-policy"],
        summary: "No restarts at certain times of the day",
        sha256: "d740f70d8877464c799b48e74a219f5bb117742b6c64c2c52b3059ab48b11ea2",
        component: component!("quiet-hours.wasm"),
    },
    Stock {
        name: "slack",
        kinds: &["event-sink"],
        summary: "Events as messages to a Slack channel",
        sha256: "59d7545ee697ccf275104c149d2ac965d64ed97b133c1dafb3592a858c66a15f",
        component: component!("slack.wasm"),
    },
    Stock {
        name: "webhook",
        kinds: &["event-sink"],
        summary: "Events as batches of signed JSON to an HTTP endpoint",
        sha256: "c822b29e8dff921c55b0ebe2147b39b56f4db0d9eaac70b4d7e7ff93d726415e",
        component: component!("webhook.wasm"),
    },
]
