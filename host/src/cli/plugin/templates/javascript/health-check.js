// A health check: the whole number `depth` in a JSON document, compared with a limit.

import * as log from "kennel:plugin/log@0.1.0";
import * as probe from "kennel:plugin/probe@0.1.0";

const STATE_VERSION = 1;

let url = "";
let limit = 0;

export const lifecycle = {
  // Takes the configuration; every problem is thrown at once.
  configure(config) {
    const settings = JSON.parse(config || "{}");
    if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
      throw [{ path: "", message: "must be a table of keys" }];
    }
    const problems = [];
    for (const key of Object.keys(settings)) {
      if (key !== "url" && key !== "limit") {
        problems.push({ path: key, message: "is not known; there are url and limit" });
      }
    }
    if (!/^https?:\/\//.test(settings.url)) {
      problems.push({ path: "url", message: "must be an address that starts with http:// or https://" });
    }
    if (!Number.isSafeInteger(settings.limit)) {
      problems.push({ path: "limit", message: "must be a whole number" });
    }
    if (problems.length > 0) throw problems;
    ({ url, limit } = settings);
  },
};

export const healthCheck = {
  // Asked at the pace that services.yaml says.
  check(input) {
    let answer;
    try {
      answer = probe.http(request(url));
    } catch (error) {
      return verdictOfFailure(error.payload);
    }
    if (answer.status !== 200) return verdict("unhealthy", `HTTP ${answer.status}`);
    const depth = depthIn(answer.body);
    if (depth === undefined) return verdict("unhealthy", 'no whole number "depth" in the answer');
    log.write("debug", "measured", [["depth", String(depth)]]);
    const [status, reason] = judged(depth, lastDepth(input.state));
    return {
      ...verdict(status, reason),
      samples: [{ name: "depth", value: depth, unit: null }],
      state: { version: STATE_VERSION, bytes: bytesOf(String(depth)) },
    };
  },
};

function request(url) {
  return { method: "GET", url, headers: [], body: [], timeoutMs: null, maxBody: null, ext: [] };
}

// Over the limit is degraded; still there and not falling is unhealthy.
function judged(depth, last) {
  if (depth <= limit) return ["healthy", `depth ${depth}, limit ${limit}`];
  if (last > limit && depth >= last) {
    return ["unhealthy", `depth ${depth} is over the limit of ${limit} and does not fall`];
  }
  return ["degraded", `depth ${depth} is over the limit of ${limit}`];
}

// Dead is not slow, and what says nothing of the service is no verdict at all.
function verdictOfFailure(error) {
  switch (error.tag) {
    case "timeout":
      return verdict("late", "no answer in time");
    case "connect":
      return verdict("unhealthy", `cannot connect: ${error.val}`);
    case "tls":
      return verdict("unhealthy", `TLS failed: ${error.val}`);
    case "protocol":
      return verdict("unhealthy", `not a valid answer: ${error.val}`);
    case "too-large":
      return verdict("unhealthy", "the answer is too large");
    case "denied":
      throw `not granted: ${error.val}`;
    case "dns":
      throw `cannot resolve the name: ${error.val}`;
    default:
      throw `the probe failed: ${error.val}`;
  }
}

function verdict(status, reason) {
  return { status, reason, samples: [], state: null, nextInMs: null, ext: [] };
}

function depthIn(body) {
  try {
    const depth = JSON.parse(textOf(body)).depth;
    return Number.isSafeInteger(depth) ? depth : undefined;
  } catch {
    return undefined;
  }
}

// What an older or newer version of this plugin has saved is not understood: it is NaN,
// which is neither over the limit nor below it.
function lastDepth(state) {
  return state?.version === STATE_VERSION ? Number(textOf(state.bytes)) : NaN;
}

// QuickJS has neither TextDecoder nor TextEncoder; what is here in their place knows UTF-8 too.
function textOf(bytes) {
  if (globalThis.TextDecoder) return new TextDecoder().decode(bytes);
  const escapes = Array.from(bytes, (byte) => "%" + byte.toString(16).padStart(2, "0"));
  return decodeURIComponent(escapes.join(""));
}

function bytesOf(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
}
