// A drawing of runs that the pointer and the arrow keys move in: it tells about a run, and opens it.

import {html, useState} from "./preact.js";

/** @type {(props: {label: string, runs: Run[], order: number[], axes: RunAxis[], width: number, height: number, nearest: (left: number, top: number) => number | undefined, position: (row: number, left: number | undefined) => [number, number], onOpen: (run: Run) => void, onEscape?: () => void, draw: (active: number | undefined) => unknown}) => VNode} */
export function RunDrawing({label, runs, order, axes, width, height, nearest, position, onOpen, onEscape, draw}) {
	const [uuid, setUuid] = useState("");
	// Where the pointer is, unless the keys are used.
	const [pointer, setPointer] = useState(/** @type {number | undefined} */ (undefined));
	const active = order.find(row => runs[row].uuid === uuid);
	const show = (/** @type {number | undefined} */ row, left = /** @type {number | undefined} */ (undefined)) => {
		setUuid(row === undefined ? "" : runs[row].uuid);
		setPointer(left);
	};
	/** @param {PointerEvent} event */
	const at = event => {
		const {left, top} = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
		return {row: nearest(event.clientX - left, event.clientY - top), left: event.clientX - left};
	};
	/** @param {PointerEvent} event */
	const onClick = event => {
		const {row} = at(event);
		if (row !== undefined) onOpen(runs[row]);
	};
	/** @param {KeyboardEvent} event */
	const onKeyDown = event => {
		const by = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
		const next = active === undefined ? Math.min(0, by ?? 0) : order.indexOf(active) + (by ?? 0);
		if (by) show(order.at(next % order.length));
		else if (event.key === "Enter" && active !== undefined) onOpen(runs[active]);
		else if (event.key === "Escape") {
			if (active === undefined) onEscape?.();
			show(undefined);
		} else return;
		event.preventDefault();
	};
	const values = active === undefined ? [] : axes.map(({column, cells, write}) => [column.name, write(cells[active])]);
	const [left, top] = active === undefined ? [0, 0] : position(active, pointer);
	const isRight = left > width / 2;
	const place = {
		[isRight ? "right" : "left"]: `${(isRight ? width - left : left) + 14}px`,
		top: `${Math.max(0, Math.min(top - 10, height - 40 - 20 * values.length))}px`
	};
	return html`<div class="plot" tabindex="0" role="application" aria-label="${label} Arrow keys move between runs, Enter opens one." style=${{width: `${width}px`, height: `${height}px`, cursor: active === undefined ? "" : "pointer"}}
		onPointerMove=${(/** @type {PointerEvent} */ event) => {
			const {row, left} = at(event);
			show(row, left);
		}} onPointerLeave=${() => show(undefined)} onClick=${onClick} onKeyDown=${onKeyDown} onBlur=${() => show(undefined)}>
		${draw(active)}
		${active !== undefined && html`<div class="tip" style=${place}><div><strong><bdi>${runs[active].name}</bdi></strong></div>${values.map(([name, text]) => html`<div><bdi>${name}</bdi> <b><bdi>${text || "–"}</bdi></b></div>`)}</div>`}
		<div class="unseen" aria-live="polite">${pointer === undefined && active !== undefined && html`<bdi>${runs[active].name}</bdi>: ${values.map(([name, text]) => `${name} ${text || "no value"}`).join(", ")}`}</div>
	</div>`;
}
