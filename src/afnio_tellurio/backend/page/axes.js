// The drawing of a chart: its lines, and its axes with their ranges and ticks.

import {capitalized, colorOf, duration, hueOf, number, patternOf, withDigits} from "./format.js";
import {LINE_WIDTH} from "./tips.js";

/** @type {Record<Axis, string>} */
export const AXES = {step: "step", relative: "time since start", wall: "wall time"};
const FONT = "12px system-ui, sans-serif";
// Pixels from tick to tick, at least.
const X_SPACE = 70;
const Y_SPACE = 26;
const Y_TICKS = 10;
// With four digits, it is still a number.
const LARGEST = 1.797e308;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 6});

/** @param {number} low @param {number} high @param {number} step */
function multiples(low, high, step) {
	const first = Math.ceil(low / step - 1e-9);
	const last = Math.floor(high / step + 1e-9);
	return Array.from({length: Math.max(0, last - first + 1)}, (_item, index) =>
		Number(((first + index) * step).toPrecision(12))
	);
}

// Round numbers in a range.
/** @param {number} low @param {number} high @param {number} most @param {"whole" | "seconds" | "any"} kind */
export function linearTicks(low, high, most, kind = "any") {
	// Of the largest numbers, the difference is infinite.
	const least = high / Math.max(1, most) - low / Math.max(1, most);
	if (!(least > 0)) return [low];
	const size = 10 ** Math.floor(Math.log10(least));
	const round = [1, 2, 5, 10].map(factor => factor * size).find(step => step >= least * (1 - 1e-9)) ?? 10 * size;
	const seconds = kind === "seconds" && least > 1 ? SECONDS.find(step => step >= least) : undefined;
	return multiples(low, high, seconds ?? (kind === "whole" ? Math.max(1, round) : round));
}

/** @param {number} low @param {number} high @param {number} most @param {"whole" | "seconds" | "any"} kind */
export function logTicks(low, high, most, kind = "any") {
	const decades = Math.log10(high) - Math.log10(low);
	if (decades < 1) return linearTicks(low, high, most, kind);
	const factors = 3 * decades <= most + 1 ? [1, 2, 5] : [1];
	const every = Math.max(1, Math.ceil(decades / Math.max(1, most)));
	const powers = multiples(Math.floor(Math.log10(low)), Math.log10(high), every);
	const all = powers.flatMap(power => factors.map(factor => Number((factor * 10 ** power).toPrecision(12))));
	return all.filter(tick => tick >= low && tick <= high && (kind !== "whole" || tick >= 1));
}

// With the same digits after the point.
/** @param {(number | null)[]} ticks @param {boolean} isLog */
export function tickTexts(ticks, isLog) {
	const known = ticks.filter(tick => tick !== null);
	const most = known.reduce((high, tick) => Math.max(high, Math.abs(tick)), 0);
	// As few digits as write them all exactly.
	const digits = [0, 1, 2, 3, 4, 5, 6, 7].find(count => known.every(tick => Number(tick.toFixed(count)) === tick)) ?? 8;
	return ticks.map(tick => {
		if (tick === null) return "";
		if (tick === 0) return "0";
		if (most >= 1e6 && most < 1e15) return compact.format(tick);
		if (isLog || most >= 1e15 || most < 1e-4 || (most < 1e-3 && digits > 5)) return number(Number(tick.toPrecision(6)));
		return withDigits(tick, digits);
	});
}

// Logarithmic ranges are as tight as linear ones.
/** @param {number | null} low @param {number | null} high @param {boolean} isLog @returns {[number, number]} */
export function paddedRange(low, high, isLog) {
	if (low === null || high === null) return isLog ? [1, 10] : [0, 1];
	if (isLog) {
		const by = low < high ? high ** 0.05 / low ** 0.05 : 2;
		return [low / by || low, Math.min(high * by, LARGEST)];
	}
	const by = low < high ? high * 0.06 - low * 0.06 : Math.abs(low) * 0.1 || 1;
	return [low >= 0 && low < by ? 0 : Math.max(low - by, -LARGEST), Math.min(high + by, LARGEST)];
}

// Of most metrics, the first value is a fraction.
/** @param {Plot["data"]} data */
const areWhole = ([, ...rows]) =>
	/** @type {Values[]} */ (rows).every(row => row.every(value => value == null || Number.isInteger(value)));

/** @param {Plot} plot @param {Settings} settings @param {Size} size @returns {Pick<UPlotOptions, "scales" | "axes" | "padding">} */
function scalesAndAxes(plot, settings, {width, height}) {
	const edge = {stroke: colorOf("--grid"), width: 1, size: 4};
	const shared = {stroke: colorOf("--quiet"), grid: edge, ticks: edge, font: FONT, labelFont: FONT, gap: 4};
	const kind = settings.x === "step" ? "whole" : "seconds";
	/** @param {number} from @param {number} to @param {number} high The last place with a point. */
	const xTicks = (from, to, high) => {
		const most = width / X_SPACE;
		const ticks = settings.logX ? logTicks(from, to, most) : linearTicks(from, to, most, kind);
		if (settings.x !== "step" || !(high >= from && high <= to) || to <= from) return ticks;
		// The last step has a tick of its own, and those that would touch it have none.
		const place = settings.logX ? Math.log : Number;
		const room = ((place(to) - place(from)) * X_SPACE) / width;
		return [...ticks.filter(tick => place(high) - place(tick) > 0.8 * room), high];
	};
	/** @type {(_chart: UPlot, ticks: (number | null)[]) => string[]} */
	const elapsedTexts = (_chart, ticks) =>
		ticks.map(tick => (tick === null ? "" : tick < 60 ? `${number(tick)} s` : duration(tick).replace(/ 0 \w+$/, "")));
	const band = plot.bandWidth > 1 ? ` · bands: minimum to maximum of ${number(plot.bandWidth)} steps` : "";
	// uPlot makes no ticks without an increment, and has none for the largest numbers.
	/** @type {(chart: UPlot, axis: number, low: number, high: number) => number[]} */
	const incrs = (_chart, _axis, low, high) => [Math.max(5, high - low)];
	/** @type {Partial<NonNullable<UPlotOptions["axes"]>[number]>} */
	const custom =
		settings.x === "wall"
			? {size: 44}
			: {
					size: 24,
					incrs,
					splits: (chart, _axis, from, to) => xTicks(from, to, chart.data[0][chart.data[0].length - 1]),
					filter: (_chart, ticks) => ticks,
					values: settings.x === "step" ? (_chart, ticks) => tickTexts(ticks, settings.logX) : elapsedTexts
				};
	return {
		// Room for half of the last label.
		padding: [10, 26, 0, 0],
		scales: {
			x: {
				time: settings.x === "wall",
				distr: settings.logX ? 3 : 1,
				range: (_chart, low, high) =>
					settings.zoom ?? (low === null ? [0, 1] : low < high ? [low, high] : [low / 2, low * 2 || 1])
			},
			y: {
				distr: settings.logY ? 3 : 1,
				range: (_chart, least, most) => paddedRange(least, most, settings.logY)
			}
		},
		axes: [
			{...shared, ...custom, label: capitalized(AXES[settings.x]) + band, labelSize: 18, labelGap: 0},
			{
				...shared,
				incrs,
				splits: (chart, _axis, from, to) => {
					const most = Math.min(Y_TICKS, (height - 60) / Y_SPACE);
					return (settings.logY ? logTicks : linearTicks)(from, to, most, areWhole(chart.data) ? "whole" : "any");
				},
				filter: (_chart, ticks) => ticks,
				values: (_chart, ticks) => tickTexts(ticks, settings.logY),
				size: (chart, texts) => {
					chart.ctx.font = FONT;
					return Math.ceil(Math.max(0, ...(texts ?? []).map(text => chart.ctx.measureText(text).width))) + 12;
				}
			}
		]
	};
}

/**
 * @param {Plot} plot @param {Settings} settings
 * @param {Size} size @param {UPlotOptions["hooks"]} hooks @param {() => any} onReset
 * @returns {UPlotOptions}
 */
export function drawing(plot, settings, size, hooks, onReset) {
	const {drawn} = plot;
	return {
		...size,
		...scalesAndAxes(plot, settings, size),
		hooks,
		legend: {show: false},
		series: drawn.map(({slot = 0, part}) => {
			const color = colorOf(hueOf(slot));
			if (part === "y") return {stroke: color, dash: patternOf(slot), width: LINE_WIDTH, points: {size: 4}};
			return {stroke: part === "raw" ? `${color}44` : "transparent", points: {show: false}};
		}),
		bands: drawn.flatMap(({slot = 0, part}, index) =>
			part === "high" ? [{series: [index, index + 1], fill: `${colorOf(hueOf(slot))}26`}] : []
		),
		cursor: {
			// The pointer alone: all charts are drawn again for a zoom.
			sync: {key: "curves", setSeries: false, filters: {pub: type => /mousemove|mouseleave/.test(type)}},
			drag: {x: true, y: false, setScale: false},
			y: false,
			points: {show: false},
			bind: {dblclick: () => onReset}
		}
	};
}
