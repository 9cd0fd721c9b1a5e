"use strict";
// The server draws; this only puts what it sends in its place.
const gone = document.getElementById("gone");
let told = Date.now();
function put(place, html) {
  const chosen = getSelection();
  // Whoever marks words to copy them keeps them until the next time.
  if (!chosen.isCollapsed && place.contains(chosen.anchorNode)) return;
  const at = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  place.innerHTML = html;
  if (!at) return;
  const link = Array.from(place.querySelectorAll("a")).find(link => link.getAttribute("href") === at);
  if (link) link.focus({ preventScroll: true });
}
function listen() {
  const events = new EventSource("/events");
  events.onmessage = message => {
    told = Date.now();
    gone.hidden = true;
    const pieces = JSON.parse(message.data);
    for (const name in pieces) {
      if (name === "title") document.title = pieces.title;
      else if (name === "mood") document.body.className = pieces.mood;
      else put(document.querySelector("[data-live=" + name + "]"), pieces[name]);
    }
  };
  events.onerror = () => {
    // A browser gives up for good where it is turned away.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}
setInterval(() => {
  const silent = Math.round((Date.now() - told) / 1000);
  if (silent < 5) return;
  gone.textContent = "Leeward has not been heard for " + silent + " s. What you see is as old as that.";
  gone.hidden = false;
}, 1000);
listen();
