// Made by `cargo xtask plugins`. Not to be edited.
&[
    Stock {
        name: "budget",
        kinds: &["restart-policy"],
        summary: "So many restarts in so much time, then longer pauses, then none",
        sha256: "3bccf434e850c54f0cf67fd1f50863dd673a691135e6f7cd7144b9701c031861",
        component: component!("budget.wasm"),
    },
    Stock {
        name: "exit-codes",
        kinds: &["restart-policy"],
        summary: "A table from exit code or signal to what follows",
        sha256: "8f91e1df487a24eedc704acf6589456dd972bb180dfabf755d784468594afcef",
        component: component!("exit-codes.wasm"),
    },
    Stock {
        name: "file",
        kinds: &["event-sink"],
        summary: "Events as lines of a rotated file",
        sha256: "63c86b34460efc4e5a9700fe013e590a18f920960f7a20bc01ff4702ce93e0ee",
        component: component!("file.wasm"),
    },
    Stock {
        name: "http",
        kinds: &["health-check"],
        summary: "An HTTP request: status, headers, body, JSON values, expiry of the certificate",
        sha256: "95b9f555490d5f5f9b5d89be10ca855eb857fc21fc73ab1ca96735ebdcab9db4",
        component: component!("http.wasm"),
    },
    Stock {
        name: "quiet-hours",
        kinds: &["restart-policy"],
        summary: "No restarts at certain times of the day",
        sha256: "9ac221f1834f87c2843d8b71b97daf502eb09253c132ee0c66268b30b20266dd",
        component: component!("quiet-hours.wasm"),
    },
    Stock {
        name: "slack",
        kinds: &["event-sink"],
        summary: "Events as messages to a Slack channel",
        sha256: "767ef1abb7593c80d9d09b9c9ef1c96e6b3b0a995220ce782757c86fd59b172d",
        component: component!("slack.wasm"),
    },
    Stock {
        name: "webhook",
        kinds: &["event-sink"],
        summary: "Events as batches of signed JSON to an HTTP endpoint",
        sha256: "afe18eecd4ead9e536feb31a24da4f0bbc0619469403687acf1d7981a7df4ee1",
        component: component!("webhook.wasm"),
    },
]
