// Runs as lines over parallel axes. A range of an axis keeps the lines that cross it.

import {options, setOptions} from "./address.js";
import {ColumnChoice, ScaleChoice} from "./choices.js";
import {counted, isNumber} from "./format.js";
import {RunDrawing} from "./pointing.js";
import {html, useRef, useState} from "./preact.js";
import {KINDS} from "./runs.js";
import {useWidth} from "./widths.js";

const HEIGHT = 420;
const TOP = 56;
const BOTTOM = 20;
const LENGTH = HEIGHT - TOP - BOTTOM;
// Pixels: of an axis with its labels, from tick to tick, to a line from a pointer that is at it, and of a range at least.
const SPACE = 104;
const LINE = 34;
const NEAR = 10;
const LEAST = 4;

/** @param {string} text @returns {Brush[]} */
function parsedBrush(text) {
	try {
		const brush = JSON.parse(text);
		const isValid = Array.isArray(brush) && typeof brush[0] === "string" && brush.length === 3;
		return isValid && brush.slice(1).every(end => isNumber(end) || typeof end === "string")
			? [/** @type {Brush} */ (brush)]
			: [];
	} catch {
		// An address can have anything.
		return [];
	}
}

// The places of a range, if the axis has its ends.
/** @param {RunAxis} axis @param {Brush | undefined} brush @returns {[number, number] | null} */
function rangeOf({names, place}, brush) {
	const [low, high] = brush ? brush.slice(1).map(end => place(end)) : [];
	if (typeof low !== "number" || typeof high !== "number") return null;
	const half = names ? 0.5 / names.length : 0;
	return [Math.min(low, high) - half, Math.max(low, high) + half];
}

/** @param {Brush[]} brushes */
const setBrushes = brushes => setOptions({brush: brushes.length ? brushes.map(brush => JSON.stringify(brush)) : ""});

/** @type {(props: {axes: RunAxis[], choices: Exploring["choices"], brushes: Brush[], set: (key: string, ends?: [unknown, unknown]) => void}) => VNode} */
function AxisChoices({axes, choices, brushes, set}) {
	const keys = axes.map(({column}) => column.key);
	/** @param {string[]} axis */
	const setAxes = axis => setOptions({axis});
	return html`<details class="menu"><summary>Axes</summary><div class="panel axes">
		${axes.map((axis, index) => {
			const {
				column: {key, name},
				names,
				at
			} = axis;
			const brush = brushes.find(([one]) => one === key);
			const ends = [brush?.[1] ?? at(0), brush?.[2] ?? at(1)];
			/** @type {(end: number, label: string) => VNode} */
			const field = (end, label) =>
				html`<input aria-label="${label} of ${name}" value=${ends[end]} onChange=${(
					/** @type {FieldEvent} */ {target: {value}}
				) => {
					const next = names || value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value);
					set(key, end ? [ends[0], next] : [next, ends[1]]);
				}} />`;
			const swapped = keys.with(index, keys[index + 1]).with(index + 1 < keys.length ? index + 1 : index, key);
			return html`<div key=${key} role="group" aria-label="Axis ${name}"><bdi title=${name}>${name}</bdi><${ScaleChoice} axis=${axis} />
				${field(0, "Start")} ${field(1, "End")}
				<button class="plain" aria-label="Move ${name} to the right" disabled=${index + 1 === keys.length} onClick=${() => setAxes(swapped)}>→</button>
				<button class="plain" aria-label="Remove ${name}" onClick=${() => setAxes(keys.filter(one => one !== key))}>✕</button></div>`;
		})}
		<${ColumnChoice} ...${choices} label="Add an axis" value="" none="Add an axis…" onChange=${(/** @type {string} */ key) => key && setAxes([...keys.filter(one => one !== key), key])} />
	</div></details>`;
}

/** @type {(props: Exploring) => VNode} */
export function ParallelCoordinates({runs, rows, axes, choices, color, onOpen, state, legend, missing, table}) {
	const box = useRef(/** @type {HTMLElement | null} */ (null));
	const [drag, setDrag] = useState(/** @type {{key: string, from: number, to: number} | null} */ (null));
	const width = Math.max(useWidth(box), SPACE * axes.length);
	const brushes = (options("brush") ?? []).flatMap(parsedBrush);
	const others = (/** @type {string} */ key) => brushes.filter(([one]) => one !== key);
	/** @param {string} key @param {[unknown, unknown]} [ends] */
	const set = (key, ends) => setBrushes([...others(key), ...(ends ? [/** @type {Brush} */ ([key, ...ends])] : [])]);
	const ranges = axes.map(axis => {
		const {key} = axis.column;
		if (drag?.key === key)
			return /** @type {[number, number]} */ ([Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)]);
		return rangeOf(
			axis,
			brushes.find(([one]) => one === key)
		);
	});
	const isKept = (/** @type {number} */ row) =>
		axes.every(({places}, index) => {
			const [place, range] = [places[row] ?? 0, ranges[index]];
			return !range || (place >= range[0] - 1e-9 && place <= range[1] + 1e-9);
		});
	const kept = rows.filter(isKept);
	const isFiltered = ranges.some(Boolean);
	const step = width / Math.max(1, axes.length);
	const left = (/** @type {number} */ index) => step * (index + 0.5);
	const top = (/** @type {number | null} */ place) => TOP + (1 - (place ?? 0)) * LENGTH;
	/** @param {number} row */
	const line = row => {
		const corners = axes.map(({places}, index) => `${left(index).toFixed(1)} ${top(places[row]).toFixed(1)}`);
		return `M${corners.join("L")}${corners.length > 1 ? "" : "h14"}`;
	};
	/** @param {number} row @param {number} at */
	const heightAt = (row, at) => {
		const index = Math.max(0, Math.min(axes.length - 2, Math.floor((at - left(0)) / step)));
		const [from, to] = [top(axes[index].places[row]), top(axes[Math.min(axes.length - 1, index + 1)].places[row])];
		return from + (to - from) * Math.min(1, Math.max(0, (at - left(index)) / step));
	};
	/** @param {number} pointerLeft @param {number} pointerTop */
	const nearest = (pointerLeft, pointerTop) => {
		if (drag) return undefined;
		const distances = kept.map(row => Math.abs(heightAt(row, pointerLeft) - pointerTop));
		const least = distances.reduce((low, next) => Math.min(low, next), NEAR);
		return kept[distances.indexOf(least)];
	};
	const shareAt = (/** @type {PointerEvent} */ event) => {
		const {top: start = 0} = box.current?.querySelector("svg")?.getBoundingClientRect() ?? {};
		return Math.min(1, Math.max(0, 1 - (event.clientY - start - TOP) / LENGTH));
	};
	// At the pointer, or else at the last axis.
	/** @type {(row: number, at?: number) => [number, number]} */
	const position = (row, at = left(axes.length - 1)) => [at, heightAt(row, at)];
	/** @param {RunAxis} axis */
	const brushing = ({column: {key}, at}) => ({
		onPointerDown: (/** @type {PointerEvent} */ event) => {
			/** @type {Element} */ (event.target).setPointerCapture(event.pointerId);
			setDrag({key, from: shareAt(event), to: shareAt(event)});
		},
		onPointerMove: (/** @type {PointerEvent} */ event) => drag && setDrag({...drag, to: shareAt(event)}),
		onPointerUp: (/** @type {PointerEvent} */ event) => {
			if (!drag) return;
			const [low, high] = [drag.from, shareAt(event)].sort((a, b) => a - b);
			setDrag(null);
			set(key, (high - low) * LENGTH < LEAST ? undefined : [at(low), at(high)]);
		},
		onPointerCancel: () => setDrag(null),
		onClick: (/** @type {Event} */ event) => event.stopPropagation()
	});
	/** @type {(row: number, kind: string) => VNode} */
	const path = (row, kind) =>
		html`<path class=${kind} key=${runs[row].uuid} d=${line(row)} style=${{stroke: color(row)}} />`;
	// Once: the pointer changes none of them.
	const lines = kept.map(row => path(row, "line"));
	const leftOut = rows
		.filter(row => isFiltered && !isKept(row))
		.map(row => html`<path class="line left-out" key=${runs[row].uuid} d=${line(row)} />`);
	const last = axes.at(-1)?.places ?? [];
	const order = [...kept].sort((a, b) => (last[b] ?? 0) - (last[a] ?? 0));
	const plot =
		() => html`<${RunDrawing} label="Parallel coordinates of ${axes.map(({column}) => column.name).join(", ")}, ${counted(kept.length, "run")}." runs=${runs} order=${order} axes=${axes} width=${width} height=${HEIGHT} nearest=${nearest}
		position=${position} onOpen=${onOpen} onEscape=${() => setBrushes([])}
		draw=${(/** @type {number | undefined} */ active) => html`
			${axes.map(({column: {key, name, kind}}, index) => html`<div class="axis-head" key=${key} style=${{left: `${step * index + 4}px`, width: `${step - 8}px`}}><bdi title=${name}>${name}</bdi>${KINDS.some(one => one === kind) && html`<small>${kind}</small>`}</div>`)}
			<svg class="lines ${active === undefined ? "" : "faded"}" width=${width} height=${HEIGHT} aria-hidden="true">${leftOut}${lines}</svg>
			<svg width=${width} height=${HEIGHT} aria-hidden="true">
			${active !== undefined && path(active, "line active")}
			${axes.map((axis, index) => {
				const range = ranges[index];
				return html`<g key=${axis.column.key}><path class="axis" d="M${left(index)} ${TOP}v${LENGTH}" />
					${axis.ticks(LENGTH / LINE).map(({place, text}) => html`<text x=${left(index) - 7} y=${top(place) + 4} text-anchor="end">${text}</text>`)}
					${range && html`<rect class="range" x=${left(index) - 7} width="14" y=${top(range[1])} height=${Math.max(1, (range[1] - range[0]) * LENGTH)} rx="3" />`}
					<rect class="brush" data-axis=${axis.column.key} x=${left(index) - 14} width="28" y=${TOP - 6} height=${LENGTH + 12} ...${brushing(axis)} /></g>`;
			})}
		</svg>`} />`;
	const nothing = axes.length ? "No run has values on all axes." : "No axes are chosen.";
	return html`<div class="bar settings"><${AxisChoices} axes=${axes} choices=${choices} brushes=${brushes} set=${set} />
			${isFiltered ? html`<span role="status">${kept.length} of ${counted(rows.length, "run")} in the ranges</span><button onClick=${() => setBrushes([])}>Clear ranges</button>` : html`<span class="quiet">Drag along an axis to choose a range.</span>`}</div>
		<div class="explore"><div class="wide" ref=${box}>${state || (rows.length && axes.length ? plot() : html`<p class="quiet nothing">${nothing}</p>`)}</div>${!state && legend}</div>
		${!state && missing}${!state && axes.length > 0 && table(kept)}`;
}
