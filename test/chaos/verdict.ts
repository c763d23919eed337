// verdict.ts: judges a chaos run by what it left behind: whether a promise was broken, and whether the run was hard enough to
// say so. Owns the rules by which a run counts for nothing (void): what was not put to the test has not passed.

import { type Finding, findings, type InvariantName } from '../invariants/invariants.js';
import type { ProcessLife } from './evidence.js';
import { type Evidence, readEvidence } from './evidence-reader.js';
import {
  type FaultFigures,
  faultFigures,
  grouped,
  type Quantiles,
  quantiles,
  type Second,
  secondsOf,
} from './figures.js';
import { type ToldStory, tell } from './story-from-evidence.js';

export type KindFigures = {
  readonly kind: string;
  readonly times: number;
  /** Of those, how many met a task in flight, and how many tasks all of them met. */
  readonly met: number;
  readonly inFlight: number;
  readonly recovery: Quantiles | null;
};

/** `broken`: a promise was. `void`: it says nothing; also where the log contradicts itself, by which all else is judged. */
export type RunOutcome = 'passed' | 'broken' | 'void';

export type Verdict = {
  readonly seed: number;
  readonly command: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly from: number;
  readonly healedAt: number;
  readonly settledAt: number | null;
  readonly to: number;
  readonly outcome: RunOutcome;
  /** Why the run says nothing. */
  readonly void: readonly string[];
  readonly findings: readonly Finding[];
  readonly tasks: {
    readonly acknowledged: number;
    readonly accepted: number;
    readonly completed: number;
    readonly failed: number;
    readonly cancelled: number;
    readonly uncertain: number;
    /** Acknowledged, and not ended or not in the ledger. */
    readonly lost: number;
    /** With more effects than were allowed. */
    readonly doubled: number;
  };
  /** Of the time in which there was a load. */
  readonly throughput: { readonly perSecond: number; readonly perSecondMin: number };
  readonly seconds: readonly Second[];
  readonly processes: readonly ProcessLife[];
  readonly faults: readonly FaultFigures[];
  readonly kinds: readonly KindFigures[];
  readonly recovery: Quantiles | null;
  /**
   * Recall: of the effects whose end nobody recorded, those shown as uncertain. Precision: of all that became uncertain, what
   * a fault on its worker or a deaf handler accounts for. Null: there were none.
   */
  readonly uncertain: { readonly recall: number | null; readonly precision: number | null };
  readonly log: { readonly servers: number; readonly transactions: number; readonly left: number };
};

/** Of the tasks per second that the driver set out to submit: ensemble, Redis and API are away for a good part of the time. */
const throughputShareMin = 1 / 3;
const completedShareMin = 0.9;
/** Of the tasks that were accepted: only what was acknowledged can be lost. */
const acknowledgedShareMin = 0.5;

/** What every run can ask of itself: not once asked, it has not been a run. */
const asked: readonly InvariantName[] = [
  'I1 an acknowledged task ends, and its end is known',
  'I2 no more effects than attempts that were allowed',
  'I3 an effect belongs to an attempt that was durable, and to no other effect',
  'I4 another attempt has its grounds',
  'I5 completed means that there was an effect',
  'I6 an effect is in the record',
  'I7 fences grow',
  'I8 a record moves by the table, by whom may move it',
  'I9 one id, one content',
  'I12 all is over in time once everything is mended',
  'P1 a handler starts after its attempt is durable',
  'what the ledger says at the end is what was written',
];

export async function judge(folder: string): Promise<Verdict> {
  return judgeEvidence(await readEvidence(folder));
}

export function judgeEvidence(evidence: Evidence): Verdict {
  const { run, log } = evidence;
  const { story, cast } = tell(evidence);
  const found = findings(story);
  const faults = faultFigures(evidence, story, cast);
  const verdict = {
    seed: run.seed,
    command: run.command,
    versions: run.versions,
    from: run.from,
    healedAt: run.healedAt,
    settledAt: run.settledAt,
    to: run.to,
    findings: found,
    tasks: tasksOf(story, found),
    throughput: throughputOf(evidence, story),
    seconds: secondsOf(story, run.from, run.to),
    processes: run.processes,
    faults,
    kinds: kindsOf(faults),
    recovery: quantiles(faults.flatMap(({ recoveryMs }) => recoveryMs ?? [])),
    uncertain: {
      recall: shareOf(found, 'I6 an effect whose end nobody recorded is uncertain'),
      precision: shareOf(found, 'uncertain only after a fault'),
    },
    log: { servers: log.servers, transactions: log.steps.length, left: log.left.length },
  };
  const reasons = [...log.gaps.map((gap) => `the log has a gap: ${gap}`), ...reasonsOf(verdict)];
  const violated = found.some((finding) => finding.violated.length > 0);
  const sound = log.gaps.length === 0;
  const outcome = violated && sound ? 'broken' : reasons.length > 0 ? 'void' : 'passed';
  return { ...verdict, void: reasons, outcome };
}

type Figures = Pick<Verdict, 'findings' | 'tasks' | 'throughput' | 'kinds'>;

function reasonsOf({ findings: found, tasks, throughput, kinds }: Figures): string[] {
  const { perSecond, perSecondMin } = throughput;
  const completedShare = tasks.completed / tasks.accepted;
  return [
    ...(kinds.length === 0 ? ['no fault was laid'] : []),
    ...kinds
      .filter(({ met }) => met === 0)
      .map(({ kind, times }) => `${kind} met no task in flight, ${times} times`),
    ...(perSecond >= perSecondMin
      ? []
      : [`${perSecond.toFixed(1)} tasks were completed per second, less than ${perSecondMin.toFixed(1)}`]),
    ...(tasks.acknowledged >= acknowledgedShareMin * tasks.accepted
      ? []
      : [`only ${tasks.acknowledged} of ${tasks.accepted} accepted tasks were acknowledged`]),
    ...(completedShare >= completedShareMin
      ? []
      : [
          `${tasks.completed} of ${tasks.accepted} tasks were completed, less than ${100 * completedShareMin} %`,
        ]),
    ...found
      .filter(({ name, checked }) => asked.includes(name) && checked === 0)
      .map(({ name }) => `not once checked: ${name}`),
  ];
}

function tasksOf({ acknowledged, records }: ToldStory, found: readonly Finding[]): Verdict['tasks'] {
  const of = (state: string): number =>
    [...records.values()].filter((record) => record.state === state).length;
  return {
    acknowledged: acknowledged.size,
    accepted: records.size,
    completed: of('completed'),
    failed: of('failed'),
    cancelled: of('cancelled'),
    uncertain: of('uncertain'),
    lost: violatedOf(found, 'I1 an acknowledged task ends, and its end is known'),
    doubled: violatedOf(found, 'I2 no more effects than attempts that were allowed'),
  };
}

/**
 * Over the time in which there was a load, from the first submit to the last. The least is a third of the load that the driver
 * set out with; where it did not say, of what was acknowledged.
 */
function throughputOf({ run, answers }: Evidence, story: ToldStory): Verdict['throughput'] {
  const submits = answers.filter(({ call }) => call === 'submit').map(({ at }) => at);
  const begin = submits.reduce((first, at) => Math.min(first, at), run.healedAt);
  const end = submits.reduce((last, at) => Math.max(last, at), begin);
  const seconds = Math.max(1, (end - begin) / 1_000);
  const completed = story.changes.filter(
    ({ at, before, after }) => at <= end && after?.state === 'completed' && before?.state !== 'completed',
  ).length;
  const load = run.loadPerSecond ?? story.acknowledged.size / seconds;
  return { perSecond: completed / seconds, perSecondMin: throughputShareMin * load };
}

function kindsOf(faults: readonly FaultFigures[]): KindFigures[] {
  return [...grouped(faults, ({ kind }) => kind)]
    .map(([kind, all]) => ({
      kind,
      times: all.length,
      met: all.filter(({ inFlight }) => inFlight > 0).length,
      inFlight: all.reduce((sum, { inFlight }) => sum + inFlight, 0),
      recovery: quantiles(all.flatMap(({ recoveryMs }) => recoveryMs ?? [])),
    }))
    .sort((a, b) => (a.kind < b.kind ? -1 : 1));
}

function findingOf(found: readonly Finding[], name: InvariantName): Finding {
  const finding = found.find((each) => each.name === name);
  if (finding === undefined) throw new Error(`${name} was not asked`);
  return finding;
}

function violatedOf(found: readonly Finding[], name: InvariantName): number {
  return findingOf(found, name).violated.length;
}

function shareOf(found: readonly Finding[], name: InvariantName): number | null {
  const { checked, violated } = findingOf(found, name);
  return checked === 0 ? null : (checked - violated.length) / checked;
}
