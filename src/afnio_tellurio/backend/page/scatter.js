// Runs as points at two of their values.

import {setOptions} from "./address.js";
import {ColumnChoice, ScaleChoice} from "./choices.js";
import {number} from "./format.js";
import {RunDrawing} from "./pointing.js";
import {html, useRef} from "./preact.js";
import {useWidth} from "./widths.js";

const HEIGHT = 440;
const TOP = 30;
const RIGHT = 20;
const BOTTOM = 44;
// Pixels: of a character, of a label, and from a point to a pointer that is at it.
const CHARACTER = 7;
const LABEL = 84;
const LINE = 40;
const NEAR = 24;

/** @param {{text: string}[]} ticks */
const longest = ticks => ticks.reduce((most, {text}) => Math.max(most, text.length), 2);

/** @type {(props: Exploring & {colorKey: string}) => VNode} */
export function ScatterPlot({
	runs,
	rows,
	axes,
	byKey,
	choices,
	color,
	onOpen,
	x,
	y,
	colorKey,
	state,
	legend,
	missing,
	table
}) {
	const box = useRef(/** @type {HTMLElement | null} */ (null));
	const width = useWidth(box);
	const [across, up] = [byKey.get(x), byKey.get(y)];
	/** @type {(name: string, label: string, value: string, axis?: RunAxis) => VNode} */
	const choice = (name, label, value, axis) =>
		html`<span class="axis-choice"><span aria-hidden="true">${label}</span><${ColumnChoice} ...${choices} label=${label} value=${value} none=${name === "color" ? "One color" : undefined} onChange=${(/** @type {string} */ key) => setOptions({[name]: key})} />
			${axis && html`<${ScaleChoice} axis=${axis} />`}</span>`;
	const plot = () => {
		if (!across || !up || !width) return "";
		const rises = up.ticks((HEIGHT - TOP - BOTTOM) / LINE);
		const start = 14 + CHARACTER * longest(rises);
		const [wide, high] = [width - start - RIGHT, HEIGHT - TOP - BOTTOM];
		const left = (/** @type {number | null} */ place) => start + (place ?? 0) * wide;
		const top = (/** @type {number | null} */ place) => TOP + (1 - (place ?? 0)) * high;
		/** @param {number} row @returns {[number, number]} */
		const position = row => [left(across.places[row]), top(up.places[row])];
		/** @param {number} pointerLeft @param {number} pointerTop */
		const nearest = (pointerLeft, pointerTop) => {
			const distances = rows.map(row => Math.hypot(position(row)[0] - pointerLeft, position(row)[1] - pointerTop));
			const least = distances.reduce((low, next) => Math.min(low, next), NEAR);
			return rows[distances.indexOf(least)];
		};
		/** @type {(row: number, radius: number, kind: string) => VNode} */
		const point = (row, radius, kind) => {
			const [cx, cy] = position(row);
			return html`<circle class=${kind} key=${runs[row].uuid} cx=${cx} cy=${cy} r=${radius} style=${{fill: color(row)}} />`;
		};
		const most = Math.floor(wide / CHARACTER);
		const label = across.names ? CHARACTER * longest(across.ticks(Infinity)) + 16 : LABEL;
		const order = [...rows].sort((a, b) => position(a)[0] - position(b)[0]);
		// Once: the pointer changes none of them.
		const points = rows.map(row => point(row, 5, "point"));
		return html`<${RunDrawing} label="${up.column.name} over ${across.column.name}, ${rows.length} runs." runs=${runs} order=${order} axes=${axes} width=${width} height=${HEIGHT} nearest=${nearest} position=${position} onOpen=${onOpen}
			draw=${(/** @type {number | undefined} */ active) => html`<svg width=${width} height=${HEIGHT} aria-hidden="true">
				${rises.map(({place, text}) => html`<path class="grid" d="M${start} ${top(place)}h${wide}" /><text x=${start - 8} y=${top(place) + 4} text-anchor="end">${text}</text>`)}
				${across.ticks(wide / label).map(({place, text}) => html`<path class="grid" d="M${left(place)} ${TOP}v${high}" /><text x=${left(place)} y=${HEIGHT - BOTTOM + 16} text-anchor="middle">${text}</text>`)}
				<text class="axis-name" x=${start} y="16">${number(up.column.name, most)}</text>
				<text class="axis-name" x=${start + wide} y=${HEIGHT - 8} text-anchor="end">${number(across.column.name, most)}</text>
				${points}
				${active !== undefined && point(active, 7, "point active")}
			</svg>`} />`;
	};
	return html`<div class="bar settings" role="group" aria-label="Axes">${choice("px", "X", x, across)} ${choice("py", "Y", y, up)} ${choice("color", "Color", colorKey, byKey.get(colorKey))}</div>
		<div class="explore"><div ref=${box}>${state || (rows.length ? plot() : html`<p class="quiet nothing">No run has both values.</p>`)}</div>${!state && legend}</div>
		${!state && missing}${!state && table(rows)}`;
}
