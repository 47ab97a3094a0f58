// A chart that uPlot draws, and that the pointer and the keys move in.

import {AXES, drawing} from "./axes.js";
import {counted} from "./format.js";
import {nearest, plotted, valuesAt} from "./plotting.js";
import {html, useLayoutEffect, useMemo, useRef, useState} from "./preact.js";
import {showTip, writtenX} from "./tips.js";

/** @type {UseChart} */
export function useChart({name, lines, settings, theme, box, width, height, empty, onZoom}) {
	const tip = useRef(/** @type {Box} */ (null));
	const made = useRef(/** @type {UPlot | null} */ (null));
	const pointer = useRef(/** @type {Pointer | null} */ (null));
	const [spoken, setSpoken] = useState("");
	const plot = useMemo(
		() => plotted(lines, settings),
		[...lines.flatMap(({series, slot}) => [series, slot]), JSON.stringify(settings)]
	);
	const current = useRef({plot, lines});
	current.current = {plot, lines};
	const reset = () => onZoom(null);
	/** @param {number} low @param {number} high */
	const zoomTo = (low, high) => high > low && onZoom([low, high]);
	useLayoutEffect(() => {
		const [plotBox, tipBox] = [box.current, tip.current];
		// The first line would have it all drawn again.
		if (!width || plot.isEmpty || !plotBox || !tipBox) return undefined;
		// A chart drawn again under a pointer at rest gets no event: it keeps the pointer's place, or else the point
		// reached by keys or in another chart.
		const held = pointer.current;
		/** @type {UPlotOptions["hooks"]} */
		const hooks = {
			setSelect: [
				chart => {
					const {left, width: wide} = chart.select;
					if (wide > 3) zoomTo(chart.posToVal(left, "x"), chart.posToVal(left + wide, "x"));
					chart.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
				}
			],
			setCursor: [
				chart => {
					const {left = -1, top = 0} = chart.cursor;
					pointer.current = left < 0 ? null : {left, top, x: chart.posToVal(left, "x")};
					showTip(chart, tipBox, current.current, settings.x);
				}
			],
			ready: [
				chart => {
					if (!held) return;
					const left = plotBox.matches(":hover") ? held.left : chart.valToPos(held.x, "x");
					if (left >= 0 && left <= chart.over.clientWidth) chart.setCursor({left, top: held.top});
				}
			]
		};
		const chart = new uPlot(drawing(plot, settings, {width, height}, hooks, reset), plot.data, plotBox);
		made.current = chart;
		return () => {
			made.current = null;
			chart.destroy();
		};
	}, [JSON.stringify([settings, theme, width, height, plot.drawn, plot.isEmpty, plot.bandWidth])]);
	useLayoutEffect(() => {
		if (made.current?.data !== plot.data) made.current?.setData(plot.data);
	}, [plot]);

	// The chart may be new, and get no event when the pointer leaves it.
	const onLeave = () => made.current?.setCursor({left: -10, top: -10});
	/** @param {KeyboardEvent} event */
	const onKey = event => {
		const chart = made.current;
		const xs = plot.data[0];
		if (!chart || !xs.length || event.target !== event.currentTarget) return;
		const {min = 0, max = 0} = chart.scales.x;
		const {left = -1} = chart.cursor;
		const x = left >= 0 ? chart.posToVal(left, "x") : min;
		const moveBy = (/** @type {number} */ by) => {
			const at = nearest(xs, x);
			const next = xs[at + by] ?? xs[at];
			chart.setCursor({left: chart.valToPos(next, "x"), top: 10});
			const values = valuesAt(plot, lines, next).map(({label, text}) => `${label} ${text}`);
			setSpoken(`${writtenX(next, settings.x)}: ${values.join(", ")}`);
		};
		const quarter = (max - min) / 4;
		/** @type {Record<string, () => void>} */
		const actions = {
			ArrowLeft: () => moveBy(-1),
			ArrowRight: () => moveBy(1),
			"+": () => zoomTo(Math.max(min, x - quarter), Math.min(max, x + quarter)),
			"-": reset,
			Escape: reset
		};
		const act = actions[event.key];
		if (!act) return;
		event.preventDefault();
		// Notebooks have shortcuts.
		event.stopPropagation();
		act();
	};
	return {
		plot,
		made,
		view: html`<div class="plot" ref=${box} style="height: ${height}px" tabindex="0" role="application" onKeyDown=${onKey} onMouseLeave=${onLeave}
			aria-label="${name} over ${AXES[settings.x]}, ${counted(lines.length, "run")}. Arrow keys move between points, + zooms in, Escape resets the zoom.">
			${plot.isEmpty && html`<p class="quiet none">${empty}</p>`}
			<div class="tip" ref=${tip} hidden></div>
		</div>
		<div class="unseen" aria-live="polite">${spoken}</div>`
	};
}
