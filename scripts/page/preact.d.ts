// What the page's preact.js (htm/preact/standalone.module.js) exports.
export * from "htm/preact";
