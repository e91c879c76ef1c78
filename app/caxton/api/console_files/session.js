// Owns who is signed in, and every question to the node. The credential lives as long as the tab, and nowhere else.

const KEY_HEADER = document.querySelector("meta[name=api-key-header]").content;
const KEPT = "caxton.credential";
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const JOB_MILLISECONDS = 500;
const STATUS = { UNAUTHORIZED: 401, FORBIDDEN: 403 };

/** What the node refused, in words for a person. */
export class Refused extends Error {
  constructor(status, problem) {
    const error = problem.error || {};
    super(status === 403 ? `You may not do this. ${error.message}` : error.message || `The node answered ${status}.`);
    this.status = status;
    this.code = error.code;
  }

  /** Of an error that came within a stream, where there is no status. */
  static within(error) { return new Refused(STATUS[error.code] || 500, { error }); }
}

export class Session {
  constructor() {
    this.credential = sessionStorage.getItem(KEPT);
    this.caller = undefined;
  }

  /** The first message over the WebSocket. */
  get auth() {
    if (!this.credential) return { type: "auth" };
    return TOKEN.test(this.credential) ? { type: "auth", token: this.credential } : { type: "auth", api_key: this.credential };
  }

  /** Finds out who this is; throws `Refused` where the credential (or its absence) is. */
  async signIn(credential) {
    const before = this.credential;
    if (credential) this.credential = credential;
    try {
      this.caller = await this.get("whoami");
    } catch (error) {
      this.credential = before;
      throw error;
    }
    if (credential) sessionStorage.setItem(KEPT, credential);
  }

  signOut() {
    sessionStorage.removeItem(KEPT);
    this.credential = this.caller = undefined;
  }

  may(permission) { return Boolean(this.caller) && this.caller.permissions.includes(permission); }

  get(path) { return this.ask("GET", path); }

  post(path, body = {}) { return this.ask("POST", path, JSON.stringify(body), { "Content-Type": "application/json" }); }

  /** The items of a list, by its pages, as far as the first `most`, and whether there are `more`. */
  async all(path, most) {
    const items = [];
    let cursor = "";
    do {
      const page = await this.get(`${path}?limit=${Math.min(most, 200)}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      items.push(...page.items);
      cursor = page.next_cursor || "";
    } while (cursor && items.length < most);
    return { items, more: Boolean(cursor) };
  }

  async ask(method, path, body, headers = {}) {
    const answer = await this.#fetch(path, { method, body, headers });
    const text = await answer.text();
    return text ? JSON.parse(text) : {};
  }

  /** As `ask`; where the answer is a job, its result once it is done, and what went wrong if that did. */
  async finished(method, path, body) {
    let job = await this.ask(method, path, body);
    if (!job.job_id) return job;
    while (job.state !== "done") {
      if (job.state === "failed") throw new Refused(0, job);
      await new Promise(resolve => setTimeout(resolve, JOB_MILLISECONDS));
      job = await this.get(`jobs/${job.job_id}`);
    }
    return job.result;
  }

  /** `take(item)` for each line of an answer that goes on, until it ends or `signal` says so. */
  async lines(path, take, signal) {
    const answer = await this.#fetch(path, { method: "GET", headers: {}, signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts.filter(Boolean)) {
        const item = JSON.parse(part);
        if (item.error) throw Refused.within(item.error);
        take(item);
      }
    }
  }

  async #fetch(path, { headers, ...options }) {
    const { auth } = this;
    if (auth.token) headers.Authorization = `Bearer ${auth.token}`;
    if (auth.api_key) headers[KEY_HEADER] = auth.api_key;
    let answer;
    try {
      answer = await fetch(`/api/v1/${path}`, { ...options, headers, credentials: "omit" });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("The node cannot be reached.");
    }
    if (answer.ok) return answer;
    let problem = {};
    try { problem = await answer.json(); } catch { /* a balancer's own words */ }
    throw new Refused(answer.status, problem);
  }
}

/** An agent's name in a path: `team/name` stays two parts. */
export const inPath = name => name.split("/").map(encodeURIComponent).join("/");

/** The place of an agent's page, and of a conversation's. */
export const agentLink = name => `#agent/${inPath(name)}`;
export const conversationLink = id => `#conversations/${encodeURIComponent(id)}`;
