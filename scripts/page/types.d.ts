// The types that the page's JSDoc comments name. They are not served.
import type {html} from "htm/preact";
import type * as parquet from "hyparquet";
import type {readPage} from "hyparquet/types/column.js";
import type uPlotClass from "uplot";
import type {components} from "../../.cache/node/tellurio";

type Schemas = components["schemas"];

declare global {
	// Answers of the backend, from the contract.
	type Run = Schemas["Run"];
	type EndReason = Schemas["EndReason"];
	type Project = Schemas["Project"] & {namespace: string};
	type Table = Schemas["Table"];
	type TableRow = Schemas["TableRow"];
	type RunFile = Schemas["RunFile"];
	type RunArtifact = Schemas["RunArtifact"];
	type Artifact = Schemas["Artifact"];
	type ArtifactVersion = Schemas["ArtifactVersion"];
	type ArtifactRun = Schemas["ArtifactRun"];
	/** A run that created or used a version, and what it used or created itself, if that is loaded. */
	interface Neighbor {
		run: ArtifactRun;
		links?: RunArtifact[];
		isGone?: boolean;
	}
	/** A run or a version, and its address unless there is nothing to see. */
	interface GraphNode {
		name: string;
		to?: string;
	}
	interface Graph {
		/** The nodes of each stage by their keys. */
		stages: Map<string, GraphNode>[];
		/** From a node of a stage to one of the next. */
		edges: [stage: number, from: string, to: string][];
	}
	/** A line that is in both files, or only in one of them. */
	interface Change {
		sign: " " | "+" | "-";
		text: string;
	}
	/** A file of a run or of an artifact. */
	type StoredFile = Partial<RunFile> & Schemas["ArtifactFile"];
	/** Where its bytes are: a path and a query. */
	type Source = [string, Query];
	interface Loaded {
		blob?: Blob;
		error?: Error;
		digest?: string;
	}
	/** What a run has stored. */
	interface RunStore {
		files: RunFile[];
		links: RunArtifact[];
	}
	// Parquet files, from hyparquet.
	type Reader = parquet.DataReader;
	type PageHeader = parquet.PageHeader;
	type ColumnDecoder = Parameters<typeof readPage>[2];
	type ColumnMetaData = parquet.ColumnMetaData;
	type SchemaElement = parquet.SchemaElement;
	type SchemaTree = parquet.SchemaTree;
	/** The first rows of a file; null in a cell is a missing value. */
	interface Decoded {
		head: string[];
		rows: (string | null)[][];
		/** What the file has. */
		total: number;
		width: number;
		/** Columns that cannot be shown, and why. */
		problems: string[][];
	}
	type Namespace = Schemas["Namespace"];
	type Metric = Schemas["ProjectMetric"];
	type MetricSummary = Schemas["MetricSummary"];
	type SummaryColumns = Schemas["SummaryColumns"];
	type Samples = Schemas["MetricSamples"];
	type Series = Schemas["SampledSeries"];

	// The address, and what is chosen in it.
	interface Route {
		view: "projects" | "project" | "run" | "compare" | "artifacts" | "unknown";
		namespace: string;
		project: string;
		run: string;
		artifact: string;
		version: string;
	}
	type Options = Record<string, string | number | string[] | null | undefined>;
	type Query = Record<string, string | number | null | undefined | (string | number)[]>;

	// Requests that are repeated.
	/** Gets the previous result, and returns the same object if nothing changed. */
	type Load<T> = (before: T | undefined, signal: AbortSignal) => Promise<T>;
	interface Polled<T> {
		value: T | undefined;
		error: Error | null;
	}
	interface Family {
		parent: Run | undefined;
		children: Run[];
	}
	interface ProjectList {
		projects: Project[];
		/** The slugs of all namespaces, also of those without projects. */
		namespaces: string[];
	}
	interface RunList {
		runs: Run[];
		byId: Map<string, Run>;
		updated: string | undefined;
		polls: number;
		/** Of this page, when it was loaded. */
		changes: number;
	}
	type MetricList = Metric[] & {updated?: string; uuids?: string[] | null};
	type Kind = "last" | "minimum" | "maximum";
	type Summaries = Map<string, Map<string, Record<Kind, unknown>>>;
	interface SampleCache {
		series: Map<string, Series>;
		cursor?: string;
		// The runs and the metrics that were asked for.
		wanted?: string;
	}

	/** The runs that a filter finds, in the order of the backend. */
	interface MatchList {
		uuids: string[];
		updated: string | undefined;
	}

	/** What has text, JSON, or files over steps: a summary of its values, or its files in the order of their steps. */
	interface StepCard {
		key: string;
		name: string;
		first: number;
		last: number;
		summary?: MetricSummary;
		files?: RunFile[];
	}
	interface StepValues {
		step: number;
		values: unknown[];
	}

	// What is drawn.
	/** A run in the charts; its slot decides the color and pattern of its line. */
	type ShownRun = Run & {slot: number};
	interface Column {
		key: string;
		name: string;
		kind: string;
		/** What it is sorted by, in the language of filters. */
		term: string;
	}
	type TrashedItem = Schemas["TrashedItem"];
	interface ManyItem {
		uuid: string;
		name: string;
	}
	/** What was asked for many runs, and how far it is. */
	interface ManyWork {
		did: string;
		items: ManyItem[];
		succeeded: Set<string>;
		failed: {name: string; message: string}[];
		isOver: boolean;
		owner: object;
		undo?: (items: ManyItem[]) => void;
	}
	type ManyCall = [
		items: ManyItem[],
		did: string,
		request: (item: ManyItem) => Promise<void>,
		undo?: (items: ManyItem[]) => void
	];
	/** Runs in groups, and how a page shows them: heads of groups, and runs. */
	interface Grouping {
		slotOf: (run: Run) => number;
		lay: (
			found: Run[],
			item: (run: Run) => VNode,
			head: (button: VNode, all: Run[], name: string) => VNode
		) => {count: number; listed: VNode[]};
	}
	/** A column of runs as an axis. Places are shares of its length, and null for a run that has none. */
	interface RunAxis {
		column: Column;
		/** What each run has. */
		cells: unknown[];
		scale: "linear" | "log" | "category";
		places: (number | null)[];
		/** What a run without a place does not have. */
		lacks: string;
		/** The categories in their order; null if it has numbers. */
		names: string[] | null;
		/** The least and the greatest number of some runs, unless they have categories or no number. */
		ends: (rows: number[]) => number[] | null;
		place: (value: unknown) => number | null;
		/** The value at a place. */
		at: (share: number) => string | number;
		write: (cell: unknown) => string;
		ticks: (room: number) => {place: number; text: string}[];
	}
	/** The rows of runs by their UUIDs, and the cells of the rows by the keys of columns. */
	interface Explored {
		rows: Map<string, number>;
		cells: Map<string, unknown[]>;
		updated: string;
		/** The filter that was asked for. */
		where: string;
		/** The oldest run. */
		last?: string;
	}
	/** What both drawings of runs get; rows are indexes of runs. */
	interface Exploring {
		runs: Run[];
		/** Those that have a place on all axes. */
		rows: number[];
		axes: RunAxis[];
		byKey: Map<string, RunAxis>;
		choices: {configs: string[]; metrics: string[]};
		color: (row: number) => string;
		onOpen: (run: Run) => void;
		x: string;
		y: string;
		/** What is shown in the place of a drawing: a message, or a list of runs that is not loaded yet. */
		state: unknown;
		legend: unknown;
		missing: unknown;
		table: (rows: number[]) => unknown;
	}
	/** A range of an axis: its column, and the first and last value. */
	type Brush = [key: string, low: string | number, high: string | number];
	/** Why the backend did not find runs, and the parameter that is invalid. */
	type SearchProblem = {message: string; field?: string} | null;
	/** What a comparison shows of each run. */
	interface ComparedRow {
		key: string;
		label: string;
		/** What is compared. */
		read: (run: Run) => unknown;
		/** What is shown, unless it is the value. */
		show?: (run: Run) => unknown;
		/** Whether smaller values are better, if that is known. */
		isLow?: boolean | null;
	}
	interface Line {
		run: string;
		label: string;
		slot: number;
		/** When the run started, in seconds since 1970. */
		start: number;
		series: Series;
		/** Coarser, and with the steps before a part of them. */
		lead?: Series;
	}
	type Axis = "step" | "relative" | "wall";
	interface Settings {
		x: Axis;
		logX: boolean;
		logY: boolean;
		/** Of the moving average, in steps; 0 for none. */
		halfLife: number;
		/** The part of the x axis that all charts show; null for all of it. */
		zoom: Span | null;
	}
	type Span = [number, number];
	type Part = "y" | "raw" | "high" | "low";
	type Values = (number | null | undefined)[];
	interface Points {
		x: number[];
		index: number[] | null;
		parts: {[part in Part]?: Values};
	}
	interface Plot {
		points: Points[];
		data: uPlotClass.AlignedData;
		drawn: {slot?: number; part?: Part; line?: number}[];
		/** Without a number to draw. */
		isEmpty: boolean;
		/** The steps of a point that has a band, at most; 0 without bands. */
		bandWidth: number;
	}
	/** What a line has at a place. */
	interface ValueAt {
		label: string;
		slot: number;
		line: number;
		/** The height at which it is drawn. */
		drawn: number | null;
		text: string;
	}

	/** What components pass to each other; each takes only some of it. */
	interface Props {
		route: Route;
		project: Omit<Project, "namespace"> | null;
		theme: string;
		onError: (error: Error | null | undefined) => void;
		onDone: () => void;
		to: string;
		children: unknown;
		label: string;
		sort: string;
		name: string;
		kind: string;
		value: unknown;
		problem: SearchProblem;
		run: Run;
		table: Table;
		runs: Run[];
		found: Run[];
		isShort: boolean;
		isGone: boolean;
		message: string;
		/** Whether what the lines have is known. */
		isAnswered: boolean;
		/** Whether the metrics are still those of other runs. */
		isStale?: boolean;
		list: Polled<RunList>;
		group: string;
		shownRuns: ShownRun[];
		groups: Grouping | null;
		onSelect: (uuid: string, isShown: boolean) => void;
		setGone: (change: (held: Map<string, number>) => Map<string, number>) => void;
		slot: number | undefined;
		metrics: Metric[];
		names: string[];
		columns: Column[];
		summaries: Summaries | undefined;
		settings: Settings;
		steps: Span | null;
		lines: Line[];
		width: number;
		height: number;
		isLarge: boolean;
		fields: object;
		isOpen: boolean;
		head: string[];
		rows: (string | null)[][];
		file: StoredFile;
		files: RunFile[];
		links: RunArtifact[];
		source: Source;
		step: number;
		card: StepCard;
		hasChanges: boolean;
		/** A card is in view and shows a step, or is not. */
		onSeen: (key: string, step: number | null) => void;
		before: string;
		type: string;
		text: string;
		blob: Blob;
		isSeen: boolean;
		isCut: boolean;
		version: ArtifactVersion;
	}
	// What the kernel of a notebook sends, and anywidget's model of it.
	/** An element that is drawn into. */
	type Box = HTMLElement | null;
	/** Where the pointer of a chart is, and its value of x. */
	type Pointer = {left: number; top: number; x: number};
	type Size = {width: number; height: number};
	/** Draws curves, and returns the element with the chart; `made` is what uPlot made. */
	type UseChart = (drawn: {
		name: string;
		lines: Line[];
		settings: Settings;
		theme: string;
		box: {current: Box};
		width: number;
		height: number;
		/** Told in place of a chart without numbers. */
		empty: string;
		onZoom: (zoom: Span | null) => void;
	}) => {plot: Plot; made: {current: UPlot | null}; view: VNode};
	interface WidgetData {
		runs: {uuid: string; name: string; status: string; start: number}[];
		charts: WidgetChart[];
		hidden: string;
		problem: string;
	}
	type WidgetLine = Pick<Series, "step" | "timestamp" | "last" | "minimum" | "maximum"> & {run: number};
	interface WidgetChart {
		/** The name as it was logged; the other one has nothing that controls a display. */
		metric: string;
		name: string;
		lines: WidgetLine[];
	}
	/** What the kernel has read for a zoom. */
	interface WidgetAnswer {
		view: string;
		/** Of the zoom. */
		number: number;
		/** The first and the last step. */
		steps: Span;
		charts: WidgetChart[];
		problem: string;
	}
	interface WidgetModel {
		get(name: "data"): WidgetData;
		get(name: "picture"): string;
		on(event: "change:data", listener: () => void): void;
		on(event: "msg:custom", listener: (content: WidgetAnswer) => void): void;
		off(event: "change:data", listener: () => void): void;
		off(event: "msg:custom", listener: (content: WidgetAnswer) => void): void;
		send(content: unknown): void;
	}
	type VNode = ReturnType<typeof html>;
	type Component = (props: Props) => VNode | string;
	/** A fact of a run: its label, and what is shown. */
	type Fact = [string, (run: Run) => unknown];

	type FieldEvent = Event & {target: HTMLInputElement};
	type UPlot = uPlotClass;
	type UPlotOptions = uPlotClass.Options;
	interface Window {
		uPlot: typeof uPlotClass;
	}
}
