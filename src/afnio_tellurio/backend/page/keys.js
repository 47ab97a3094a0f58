// What keys and a dragged range do on a chart.

import {nearest, valuesAt} from "./plotting.js";
import {writtenX} from "./tips.js";

// Fewer pixels are a click.
const DRAGGED = 3;

/** @param {(low: number, high: number) => unknown} zoomTo @returns {(chart: UPlot) => void} */
export const zoomOnDrag = zoomTo => chart => {
	const {left, width} = chart.select;
	if (width > DRAGGED) zoomTo(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
	chart.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
};

/**
 * @param {UPlot} chart @param {{plot: Plot, lines: Line[], axis: Axis}} drawn
 * @param {{zoomTo: (low: number, high: number) => unknown, resetZoom: () => unknown, speak: (text: string) => void}} acts
 * @returns {Record<string, () => unknown>}
 */
export function keysOf(chart, {plot, lines, axis}, {zoomTo, resetZoom, speak}) {
	const xs = plot.data[0];
	const {min = 0, max = 0} = chart.scales.x;
	const {left = -1} = chart.cursor;
	const x = left >= 0 ? chart.posToVal(left, "x") : min;
	const moveBy = (/** @type {number} */ by) => {
		const next = xs[Math.min(xs.length - 1, Math.max(0, nearest(xs, x) + by))];
		chart.setCursor({left: chart.valToPos(next, "x"), top: 10});
		const values = valuesAt(plot, lines, next).map(value => `${value.label} ${value.text}`);
		speak(`${writtenX(next, axis)}: ${values.join(", ")}`);
	};
	const quarter = (max - min) / 4;
	return {
		ArrowLeft: () => moveBy(-1),
		ArrowRight: () => moveBy(1),
		"+": () => zoomTo(Math.max(min, x - quarter), Math.min(max, x + quarter)),
		"-": resetZoom,
		Escape: resetZoom
	};
}
