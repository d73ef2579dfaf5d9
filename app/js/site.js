// Says what this copy of the site is: where it stands, and what the server
// answers when it is asked for the page again.
"use strict";

const script = document.currentScript;

// place reads the address of the site. This file is js/site.js of the site, so
// the folder above it is the root: /<repository>/<tag>/, or one component in
// which "@" or ":" parts the two. A site at the root of its host is named there.
function place() {
  const parts = new URL("..", script.src).pathname.split("/").filter(Boolean).map(decodeURIComponent);
  if (parts.length === 0) return named(location.hostname);
  const last = parts.pop() ?? "";
  const mark = last.search(/[@:]/);
  if (mark < 0) return { repository: parts.join("/"), tag: last };
  return { repository: [...parts, last.slice(0, mark)].join("/"), tag: last.slice(mark + 1) };
}

// named reads a host such as v1-2--team--docs.sites.localhost, which is version
// v1.2 of team/docs. A name that does not fit a host has none of its own to read.
function named(host) {
  const [tag, ...repository] = host.split(".")[0].split("--").map((word) => word.replace(/(\d)-(?=\d)/g, "$1."));
  return repository.length > 0 ? { repository: repository.join("/"), tag } : { repository: "", tag: "" };
}

function show(name, text) {
  document.querySelector(`[data-show="${name}"]`).textContent = text || "none";
}

// ask sends a HEAD for the page itself, past the browser's cache.
async function ask() {
  const begin = performance.now();
  const answer = await fetch(location.href.split("#")[0], { method: "HEAD", cache: "no-store" });
  show("answer", `${answer.status} in ${(performance.now() - begin).toFixed(1)} ms`);
  show("etag", answer.headers.get("ETag"));
  show("cache", answer.headers.get("Cache-Control"));
}

async function refresh(button) {
  button.disabled = true;
  try {
    await ask();
  } catch {
    show("answer", "no answer: this page was not opened through a web server");
  }
  button.disabled = false;
}

function begin() {
  const copy = document.querySelector("#copy");
  if (!copy) return;
  const { repository, tag } = place();
  show("repository", repository);
  show("tag", tag);
  const button = copy.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => refresh(button));
  refresh(button).then(() => { copy.dataset.ready = "true"; });
}

begin();
