// Small pictures on buttons, which have a name besides.
import {html} from "./preact.js";

const PATHS = {
	sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
	moon: "M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3z",
	log: "M2 2v12h12M4.5 12C6 6 9 4.5 13.5 4",
	table: "M2 3h12v10H2zM2 6.5h12M2 10h12M6.5 3v10",
	rows: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
	picture: "M2 3h12v10H2zM2 11l3.5-3.5 3 3 2-2L14 12M10.5 6h.01",
	grow: "M9.5 2.5h4v4M13.5 2.5 9 7M6.5 13.5h-4v-4M2.5 13.5 7 9",
	shrink: "M13 7H9V3M9 7l4.5-4.5M3 9h4v4M7 9l-4.5 4.5",
	copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
	link: "M6.5 9.5 9.5 6.5M7 4.5 9 2.5a3 3 0 0 1 4.5 4.5l-2 2M9 11.5l-2 2A3 3 0 0 1 2.5 9l2-2",
	back: "M3 8a5 5 0 1 1 1.5 3.5M3 4v4h4"
};

/** @param {keyof PATHS} name */
export const icon = name =>
	html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
