// What the vendored file exports.
export * from "fzstd";
