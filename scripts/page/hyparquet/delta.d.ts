// What the vendored file exports.
export * from "hyparquet/types/delta.js";
