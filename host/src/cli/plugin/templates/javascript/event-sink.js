// An event sink: batches of lines to an HTTP endpoint.

import * as log from "kennel:plugin/log@0.1.0";
import * as probe from "kennel:plugin/probe@0.1.0";

const RETRY_MS = 5_000;

let url = "";

export const lifecycle = {
  // Takes the configuration; every problem is thrown at once.
  configure(config) {
    const settings = JSON.parse(config || "{}");
    if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
      throw [{ path: "", message: "must be a table of keys" }];
    }
    const problems = [];
    for (const key of Object.keys(settings)) {
      if (key !== "url") problems.push({ path: key, message: "is not known; there is url" });
    }
    if (!/^https?:\/\//.test(settings.url)) {
      problems.push({ path: "url", message: "must be an address that starts with http:// or https://" });
    }
    if (problems.length > 0) throw problems;
    ({ url } = settings);
  },
};

export const eventSink = {
  // Handed events in order. What it does not take comes again.
  deliver(batch) {
    let answer;
    try {
      answer = probe.http(request(url, batch.events));
    } catch (error) {
      const { tag, val } = error.payload;
      throw retry(`no answer: ${val ?? tag}`);
    }
    if (answer.status >= 200 && answer.status < 300) return batch.events.length;
    // These will be refused tomorrow too.
    if ([400, 413, 422].includes(answer.status)) {
      throw { tag: "reject", val: `HTTP ${answer.status}` };
    }
    throw retry(`HTTP ${answer.status}`);
  },
};

function retry(reason) {
  log.write("warn", `events were not taken: ${reason}`, []);
  return { tag: "retry-after-ms", val: RETRY_MS };
}

function request(url, events) {
  return {
    method: "POST",
    url,
    headers: [["content-type", "text/plain; charset=utf-8"]],
    body: bytesOf(events.map(line).join("")),
    timeoutMs: null,
    maxBody: null,
    ext: [],
  };
}

function line(event) {
  return `${event.sequence} ${event.kind} ${event.service ?? "-"} ${event.message}\n`;
}

// QuickJS has no TextEncoder; this knows UTF-8 too.
function bytesOf(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
}
