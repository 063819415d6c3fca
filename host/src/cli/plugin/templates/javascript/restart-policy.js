// A restart policy: some failures will not go away, and short runs need longer pauses.

const STATE_VERSION = 1;

// A run that ended sooner did no work.
const SHORT_RUN_MS = 10_000;

let hopeless = 0;
let pauseMs = 0;

export const lifecycle = {
  // Takes the configuration; every problem is thrown at once.
  configure(config) {
    const settings = JSON.parse(config || "{}");
    if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
      throw [{ path: "", message: "must be a table of keys" }];
    }
    const problems = [];
    for (const key of Object.keys(settings)) {
      if (key !== "hopeless" && key !== "pause_ms") {
        problems.push({ path: key, message: "is not known; there are hopeless and pause_ms" });
      }
    }
    for (const key of ["hopeless", "pause_ms"]) {
      if (!Number.isSafeInteger(settings[key]) || settings[key] < 0) {
        problems.push({ path: key, message: "must be a whole number" });
      }
    }
    if (problems.length > 0) throw problems;
    ({ hopeless, pause_ms: pauseMs } = settings);
  },
};

export const restartPolicy = {
  // Asked when a run has ended, while the built-in delay already runs.
  decide(input) {
    if (input.cause.exitCode === hopeless) {
      const reason = `exit code ${hopeless} will not go away`;
      return { action: { tag: "give-up", val: reason }, reason, state: null, ext: [] };
    }
    if (input.target.uptimeMs >= SHORT_RUN_MS) {
      return decision({ tag: "use-default" }, "it ran for a while", 0);
    }
    const shortRuns = lastShortRuns(input.state) + 1;
    const action = { tag: "restart-after-ms", val: pauseMs * shortRuns };
    return decision(action, `short runs in a row: ${shortRuns}`, shortRuns);
  },
};

function decision(action, reason, shortRuns) {
  const bytes = Uint8Array.from(String(shortRuns), (letter) => letter.charCodeAt(0));
  return { action, reason, state: { version: STATE_VERSION, bytes }, ext: [] };
}

// What an older or newer version of this plugin has saved is not understood.
function lastShortRuns(state) {
  if (state?.version !== STATE_VERSION) return 0;
  const text = Array.from(state.bytes, (byte) => String.fromCharCode(byte)).join("");
  return /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
}
