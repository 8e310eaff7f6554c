"""The main screen's part on jobs: what becomes of them, their order, and those that an earlier lqtui left."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.widgets import Tab

from lqtui.tui.screens.confirm import ConfirmScreen
from lqtui.tui.screens.main_actions import MainActions, after_edits
from lqtui.tui.settings import preferences_of
from lqtui.tui.terminal.notices import TerminalNotice, ended_notice
from lqtui.tui.widgets.job_sentence import sentences
from lqtui.tui.widgets.jobs import JobsPane
from lqtui.tui.widgets.quantities import clock
from lqtui.tui.widgets.results import ResultsTable
from lqtui.tui.widgets.status_line import StatusLine
from lqtui.workbench import Job, JobState, Workbench
from lqtui.workbench.preferences import Notifications

_LONG_SECONDS = 10.0
"""Who looks elsewhere is told of jobs that took at least so long."""
_QUIET = ("fingerprint", "chat")
"""The kinds of jobs whose end nobody waits for, or sees anyway."""


class MainJobs(MainActions):
    """Jobs, over the workbench of the main screen."""

    def __init__(self, workbench: Workbench) -> None:
        super().__init__(workbench)
        self._states = {job.id: job.state for job in workbench.jobs}
        self._noticed: set[int] = set()
        self._asking_for_unfinished = False

    # -- what is shown ------------------------------------------------------------------------------

    def show_jobs(self) -> None:
        """Show the jobs, tell of what became of them, and ask what is to become of those that were left."""
        jobs = self.workbench.jobs
        self.query_one(JobsPane).show(jobs)
        self._explain_job(moved=False)
        self.query_one(ResultsTable).looks_up = any(job.kind == "fingerprint" and job.active for job in jobs)
        for job in jobs:
            if self._states.get(job.id) is not job.state:
                self._states[job.id] = job.state
                self._tell_of(job)
            if job.notice and job.id not in self._noticed:
                self._noticed.add(job.id)
                self.notify(job.notice, title=job.title, severity="warning", timeout=12, markup=False)
        self._states = {job.id: job.state for job in jobs}
        self._noticed &= self._states.keys()
        tab = self.query_one("#tab-jobs", Tab)
        label = _tab_label(jobs, with_time=self.query_one("#tabs").display)
        if tab.label_text != label:  # the same label too would lay out the whole screen anew
            tab.label = label
        if self.workbench.unfinished and not self._asking_for_unfinished:
            self._ask_for_unfinished()

    def _tell_of(self, job: Job) -> None:
        """A toast when a job ends that a person asked for, and when any fails; and the terminal's own."""
        if not job.active:
            self.query_one(StatusLine).announce("")
        if job.state is JobState.DONE and job.kind not in _QUIET:
            self.notify(job.message or "Done.", title=job.title, markup=False)
        elif job.state is JobState.FAILED:
            self.notify(job.message or "Failed.", title=job.title, severity="error", timeout=12, markup=False)
        else:
            return
        if self._is_worth_a_notice(job):
            self.post_message(TerminalNotice(ended_notice(job)))

    def _is_worth_a_notice(self, job: Job) -> bool:
        match preferences_of(self).notifications:
            case Notifications.ALWAYS:
                return True
            case Notifications.NEVER:
                return False
            case Notifications.AUTO:
                return not self.app.app_focus and job.elapsed >= _LONG_SECONDS

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Tell of the job at hand as soon as the keys are the jobs'."""
        self._explain_job()

    @on(JobsPane.Moved)
    def _follow_jobs_cursor(self) -> None:
        self._explain_job()

    def _explain_job(self, *, moved: bool = True) -> None:
        pane = self.query_one(JobsPane)
        if pane.has_focus:
            self.query_one(StatusLine).explain(*sentences(pane.job), moved=moved)

    # -- those that were left -----------------------------------------------------------------------

    def _ask_for_unfinished(self) -> None:
        """Ask once whether to go on with what was not finished when lqtui ended."""
        self._asking_for_unfinished = True
        titles, settings = self.workbench.unfinished, self.workbench.unfinished_settings
        now = self.workbench.settings
        one = len(titles) == 1
        named = "\n".join(f"  {title}" for title in titles[:6])
        more = f"\n  and {len(titles) - 6} more" if len(titles) > 6 else ""
        said = f"{'A job was' if one else f'{len(titles)} jobs were'} not finished:\n\n{named}{more}\n\n"
        said += f"Go on with {'it' if one else 'them'}? What was measured is kept."
        if (settings.chunks, settings.n_ctx) != (now.chunks, now.n_ctx):
            said += f" They are measured on {settings.chunks} × {settings.n_ctx} tokens, as asked for then."

        def answer(resume: bool | None) -> None:
            self._asking_for_unfinished = False
            with self.refusals_told():
                for refusal in self.workbench.decide_on_unfinished(resume=bool(resume)):
                    self.notify(refusal, severity="warning", timeout=12, markup=False)
                if resume:
                    self.announce(f"{titles[0]} goes on." if one else f"{len(titles)} jobs go on.")
                else:
                    again = f"{self.key('pane.jobs')}, then {self.key('jobs.retry')}"
                    self.announce(f"Kept among the jobs: {again} goes on with one.")

        self.app.push_screen(ConfirmScreen(said, "Go on", "Not now"), answer)

    # -- commands -----------------------------------------------------------------------------------

    @after_edits
    def action_cancel_job(self) -> None:
        """Cancel the running job, or the first that waits."""
        jobs = self.workbench.jobs
        for state in (JobState.RUNNING, JobState.QUEUED, JobState.PAUSED):
            for job in jobs:
                if job.state is state:
                    self._cancel(job)
                    return
        self.announce("No job runs.")

    def _cancel(self, job: Job) -> None:
        with self.refusals_told():
            self.workbench.cancel(job.id)
            again = f"{self.key('jobs.retry')} in the jobs does it after all"
            self.announce(f"Cancelled: {job.title}. {again}.", f"Cancelled: {job.title}.")

    @on(JobsPane.CancelRequested)
    def _cancel_chosen(self, event: JobsPane.CancelRequested) -> None:
        job = self._job(event.job_id)
        if job.active:
            self._cancel(job)
        else:
            self.announce(f"{job.title} has ended: there is nothing to cancel.")

    @on(JobsPane.PauseRequested)
    def _pause_chosen(self, event: JobsPane.PauseRequested) -> None:
        job, on = self._job(event.job_id), self.key("jobs.pause")
        with self.refusals_told():
            if job.pausing or job.state is JobState.PAUSED:
                self.workbench.resume(job.id)
                self.announce(f"{job.title} goes on where it was.")
            elif job.active:
                self.workbench.pause(job.id)
                waits = self._job(job.id).pausing
                self.announce(
                    f"{job.title} pauses after this step; {on} lets it go on."
                    if waits
                    else f"Paused: {job.title}. Nothing of it is lost; {on} lets it go on."
                )
            else:
                self.announce(f"{job.title} has ended: {self.key('jobs.retry')} does it again.")

    @on(JobsPane.MoveRequested)
    def _move_chosen(self, event: JobsPane.MoveRequested) -> None:
        job = self._job(event.job_id)
        if not self.workbench.move(job.id, event.step):
            where = "first" if event.step < 0 else "last"
            is_waiting = job.state is JobState.QUEUED
            self.announce(
                f"{job.title} is the {where} that waits." if is_waiting else "Jobs that wait can be moved."
            )

    @on(JobsPane.RetryRequested)
    def _retry_chosen(self, event: JobsPane.RetryRequested) -> None:
        job = self._job(event.job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            said = "is done" if job.state is JobState.DONE else f"is {job.state}"
            self.announce(f"{job.title} {said}: what failed or was cancelled can be done again.")
            return
        with self.refusals_told():
            self.workbench.retry(job.id)
            self.announce(f"Once more: {job.title}. It goes on from what is kept.")

    @on(JobsPane.LogRequested)
    def _show_log(self, event: JobsPane.LogRequested) -> None:
        from lqtui.tui.screens.log import LogScreen

        with self.refusals_told():
            number = event.job_id
            screen = LogScreen(
                self._job(number).title,
                lambda: self.workbench.log_tail(number),
                lambda: self._job(number).active,
            )
            self.app.push_screen(screen)

    def _job(self, job_id: int) -> Job:
        return next(job for job in self.workbench.jobs if job.id == job_id)


def _tab_label(jobs: Sequence[Job], *, with_time: bool) -> str:
    """What the tab of the jobs says: how many there are, and the time left of the one that runs."""
    active = [job for job in jobs if job.active]
    if not active:
        return "jobs"
    left = next((job.eta for job in active if job.state is JobState.RUNNING and job.eta is not None), None)
    return f"jobs ({len(active)})" + (f" {clock(left)} left" if with_time and left is not None else "")
