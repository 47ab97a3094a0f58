// The live view of curves in a notebook: anywidget calls `render` for each place where it is displayed.

import {AXES} from "./axes.js";
import {useChart} from "./charting.js";
import {capitalized, Mark, number, takeColorsOf} from "./format.js";
import {stepsBetween} from "./plotting.js";
import {render as draw, html, useEffect, useMemo, useRef, useState} from "./preact.js";
import {useWidth} from "./widths.js";

const HEIGHT = 230;
// The theme of a notebook is dark if its text is lighter than this, from 0 to 255.
const MIDDLE = 128;

/** @param {HTMLElement} root */
function themeOf(root) {
	const [red = 0, green = 0, blue = 0] =
		getComputedStyle(root)
			.color.match(/[\d.]+/g)
			?.map(Number) ?? [];
	return 0.3 * red + 0.59 * green + 0.11 * blue > MIDDLE ? "dark" : "light";
}

/** @param {HTMLElement} root */
function useTheme(root) {
	const [theme, setTheme] = useState(themeOf(root));
	useEffect(() => {
		const update = () => setTheme(themeOf(root));
		update();
		// Notebooks write their theme into an attribute of either.
		const watcher = new MutationObserver(update);
		for (const element of [document.documentElement, document.body]) watcher.observe(element, {attributes: true});
		const system = matchMedia("(prefers-color-scheme: dark)");
		system.addEventListener("change", update);
		return () => {
			watcher.disconnect();
			system.removeEventListener("change", update);
		};
	}, []);
	root.dataset.theme = theme;
	return theme;
}

// A line with finer points in a part of its steps. Points that are newer than these stay.
/** @param {WidgetLine} whole @param {WidgetAnswer | null} answer @param {string} metric @returns {WidgetLine} */
function refined(whole, answer, metric) {
	const chart = answer?.charts.find(one => one.metric === metric);
	const finer = chart?.lines.find(({run}) => run === whole.run);
	// Steps without points may be between two points of the line.
	if (!answer || !finer?.step.length) return whole;
	const {step} = whole;
	const last = finer.step[finer.step.length - 1];
	const before = step.filter(one => one < answer.steps[0]).length;
	const after = step.length - step.filter(one => one > last).length;
	/** @template T @param {(line: WidgetLine) => T[]} of */
	const joined = of => [...of(whole).slice(0, before), ...of(finer), ...of(whole).slice(Math.max(before, after))];
	return {
		run: whole.run,
		step: joined(line => line.step),
		timestamp: joined(line => line.timestamp),
		last: joined(line => line.last),
		minimum: joined(line => line.minimum),
		maximum: joined(line => line.maximum)
	};
}

/** @param {WidgetData} data @param {WidgetData["charts"][number]} chart @param {Set<string>} off @param {WidgetAnswer | null} [answer] @returns {Line[]} */
function linesOf({runs}, {metric, lines}, off, answer = null) {
	return lines.flatMap(line => {
		const {uuid, name, start} = runs[line.run];
		if (off.has(uuid)) return [];
		const {run, step, timestamp, last, minimum, maximum} = refined(line, answer, metric);
		const count = minimum.map((low, at) => (low === maximum[at] ? 1 : 2));
		const series = {run_uuid: uuid, name, width: 1, replaces_from: 0, step, timestamp, last, minimum, maximum, count};
		return [{run: uuid, label: name, slot: run, start, series}];
	});
}

/** @type {(props: {name: string, lines: Line[], axis: Axis, zoom: Span | null, onZoom: (zoom: Span | null) => void, theme: string, root: HTMLElement}) => VNode} */
function Chart({name, lines, axis, zoom, onZoom, theme, root}) {
	const box = useRef(/** @type {Box} */ (null));
	const [logY, setLogY] = useState(false);
	const settings = {x: axis, logX: false, logY, halfLife: 0, zoom};
	// Before the chart is drawn: other views have colors of their own.
	useEffect(() => takeColorsOf(root));
	const width = useWidth(box);
	const empty = `No ${logY ? "positive " : ""}numbers to draw.`;
	const {view} = useChart({name, lines, settings, theme, box, width, height: HEIGHT, empty, onZoom});
	return html`<figure data-metric=${name}>
		<figcaption><bdi title=${name}>${name}</bdi>
			<button aria-pressed=${logY} aria-label="Log y: ${name}" title="Logarithmic y axis" onClick=${() => setLogY(!logY)}>Log y</button>
		</figcaption>
		${view}
	</figure>`;
}

// What the kernel has read for a zoom: it has all points, and the view a part of them.
/** @param {WidgetModel} model @param {string} view @param {Span | null} steps */
function useFiner(model, view, steps) {
	const [answer, setAnswer] = useState(/** @type {WidgetAnswer | null} */ (null));
	const [problem, setProblem] = useState("");
	const asked = useRef(0);
	useEffect(() => {
		/** @param {WidgetAnswer} content */
		const receive = content => {
			// Only the answer to the last zoom counts.
			if (content.view !== view || content.number !== asked.current) return;
			setProblem(content.problem);
			if (!content.problem) setAnswer(content);
		};
		model.on("msg:custom", receive);
		return () => model.off("msg:custom", receive);
	}, []);
	useEffect(() => {
		if (!steps && !asked.current) return;
		asked.current += 1;
		model.send({view, number: asked.current, zoom: steps});
		setProblem("");
		if (!steps) setAnswer(null);
	}, [JSON.stringify(steps)]);
	return {answer, problem};
}

/** @type {(props: {model: WidgetModel, name: string, root: HTMLElement}) => VNode} */
function View({model, name: view, root}) {
	const [data, setData] = useState(() => model.get("data"));
	const [axis, setAxis] = useState(/** @type {Axis} */ ("step"));
	const [zoom, setZoom] = useState(/** @type {Span | null} */ (null));
	const [off, setOff] = useState(/** @type {Set<string>} */ (new Set()));
	const theme = useTheme(root);
	useEffect(() => {
		const update = () => setData(model.get("data"));
		model.on("change:data", update);
		return () => model.off("change:data", update);
	}, []);
	const steps = useMemo(
		() =>
			zoom &&
			stepsBetween(
				data.charts.flatMap(chart => linesOf(data, chart, off)),
				zoom,
				axis
			),
		[data, off, zoom, axis]
	);
	const {answer, problem} = useFiner(model, view, steps);
	const charts = useMemo(
		() => data.charts.map(chart => ({...chart, lines: linesOf(data, chart, off, answer)})),
		[data, off, answer]
	);
	const problems = data.problem || problem;
	/** @param {Axis} chosen */
	const onAxis = chosen => {
		setAxis(chosen);
		// Another axis has other numbers.
		setZoom(null);
	};
	/** @param {string} uuid */
	const toggle = uuid => setOff(new Set(off.has(uuid) ? [...off].filter(one => one !== uuid) : [...off, uuid]));
	return html`<div class="bar">
			<label>X axis <select value=${axis} onChange=${(/** @type {FieldEvent} */ {target}) => onAxis(/** @type {Axis} */ (target.value))}>
				${Object.entries(AXES).map(([value, label]) => html`<option value=${value}>${capitalized(label)}</option>`)}
			</select></label>
			${zoom && html`<button onClick=${() => setZoom(null)}>Reset zoom</button>`}
			${data.hidden && html`<small>${data.hidden}</small>`}
			${problems && html`<span class="problem" role="status">${problems}</span>`}
		</div>
		<ul class="runs" aria-label="Runs">${data.runs.map(
			(
				{uuid, name, status},
				slot
			) => html`<li key=${uuid}><button aria-pressed=${!off.has(uuid)} title="Show or hide" onClick=${() => toggle(uuid)}>
				<${Mark} slot=${slot} /> <bdi>${name}</bdi> <small>${status}</small></button></li>`
		)}</ul>
		${!charts.length && html`<p class="quiet">No numeric metrics yet.</p>`}
		<div class="charts">${charts.map(
			({metric, name, lines}) =>
				html`<${Chart} key=${metric} name=${name} lines=${lines} axis=${axis} zoom=${zoom} onZoom=${setZoom} theme=${theme} root=${root} />`
		)}</div>`;
}

// Tells the kernel whether a view is visible: it reads values less often for hidden ones.
/** @param {WidgetModel} model @param {string} view @param {HTMLElement} root */
function reportVisibility(model, view, root) {
	let isInView = true;
	let reported = true;
	const report = (/** @type {boolean} */ isVisible) => {
		if (isVisible === reported) return;
		reported = isVisible;
		model.send({view, visible: isVisible});
	};
	const update = () => report(isInView && !document.hidden);
	const watcher = new IntersectionObserver(([entry]) => {
		isInView = entry.isIntersecting;
		update();
	});
	watcher.observe(root);
	document.addEventListener("visibilitychange", update);
	return () => {
		watcher.disconnect();
		document.removeEventListener("visibilitychange", update);
		report(false);
	};
}

/** @param {{model: WidgetModel, el: HTMLElement}} place */
export function render({model, el}) {
	const root = document.createElement("div");
	root.className = "afnio-tellurio";
	const view = document.createElement("div");
	// As long as this is here, the picture is not needed.
	const style = document.createElement("style");
	style.textContent = `.${CSS.escape(model.get("picture"))} { display: none }`;
	root.append(view, style);
	el.append(root);
	// One of the places where the widget is displayed.
	const name = number(Math.random() * 1e6);
	draw(html`<${View} model=${model} name=${name} root=${root} />`, view);
	const stopReporting = reportVisibility(model, name, root);
	return () => {
		stopReporting();
		// Stops the watchers of what is replaced.
		draw(html`<br />`, view);
		root.remove();
	};
}
