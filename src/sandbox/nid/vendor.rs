//! Decides what is answered to a request, and when. It has no clock and no broker, and draws random
//! values from the seed only.
//!
//! Invariant: see [`nid`](super). The state counts every breach, whether by the vendor or by the
//! bridge.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::garbage::{Circumstances, Garbage};
use super::reply::{Final, Planned, data, event};
use super::request::Request;
use super::settings::VendorSettings;
use super::state::NidState;
use super::treatment::Treatment;
use super::verdict::{Mistake, Verdict};
use crate::sandbox::json::with;
use crate::sandbox::spread::digest;

#[derive(Debug, Default)]
struct Person {
    issued: Option<String>,
    recorded: bool,
    newest: u64,
    submissions: HashMap<u64, Submission>,
}

#[derive(Debug, Default, Clone)]
struct Submission {
    content: String,
    asked_to_retry: bool,
    answer: Option<Final>,
}

/// The ID system's decisions and memory.
#[derive(Debug)]
pub struct Vendor {
    settings: VendorSettings,
    people: HashMap<String, Person>,
    numbers: HashMap<String, String>,
    ids: HashMap<String, String>,
    doubled: HashSet<String>,
    scripted: HashMap<String, Final>,
    state: NidState,
}

impl Vendor {
    pub fn new(settings: VendorSettings) -> Self {
        Self {
            settings,
            people: HashMap::new(),
            numbers: HashMap::new(),
            ids: HashMap::new(),
            doubled: HashSet::new(),
            scripted: HashMap::new(),
            state: NidState::default(),
        }
    }

    /// What the vendor saw and sent so far.
    pub fn state(&self) -> &NidState {
        &self.state
    }

    /// Settings that apply from now on.
    pub fn settings_mut(&mut self) -> &mut VendorSettings {
        &mut self.settings
    }

    /// Fixes the answer to all submissions of a request that have no answer yet. An ID that was
    /// issued stays.
    pub fn will_answer(&mut self, request_id: &str, answer: Final) {
        self.scripted.insert(request_id.to_owned(), answer);
    }

    /// The messages to send for a request, in order of time.
    pub fn answer(&mut self, body: &[u8], now: Timestamp) -> Vec<Planned> {
        self.state.requests += 1;
        let Some(request) = Request::read(body) else {
            self.state.malformed += 1;
            return Vec::new();
        };
        self.meet(&request);
        let mut chance = self.settings.chance(&request.id, request.submission);
        let treatment = Treatment::draw(&self.settings, &mut chance);
        let verdict = self.settings.verdict(&request.id, request.submission, request.asked);
        let person = self.people.entry(request.id.clone()).or_default();
        let submission = person.submissions.entry(request.submission).or_default();
        let first_time = submission.answer.is_none();
        if first_time && treatment.retry && !submission.asked_to_retry {
            submission.asked_to_retry = true;
            self.state.retries_sent += 1;
            let after = self.settings.retry_after_s;
            return vec![plan(
                &request,
                treatment.latency,
                &self.progress(&request, "retry", Some(after)),
                now,
            )];
        }
        let answer = match submission.answer.clone() {
            Some(answer) => answer,
            None => self.decide(&request, &verdict),
        };
        let mut planned = self.genuine(&request, &answer, &treatment, first_time, now);
        if first_time && let Some(garbage) = treatment.garbage {
            planned.push(self.garbage(&request, &answer, garbage, &treatment, now));
        }
        // A known or scripted answer may differ from the verdict. In that case the verdict's
        // contradiction would not contradict the answer, so it is not sent.
        if let Some(other) = verdict.contradiction.filter(|_| first_time && answer == verdict.answer) {
            self.state.contradictions_sent += 1;
            planned.push(self.second(&request, &other, &treatment, now));
        }
        if first_time && let (Some(turn), Some(taken)) = (verdict.mistake, self.settings.taken_id.clone()) {
            self.state.mistakes_sent += 1;
            let taken = Final::Issued(taken);
            match turn {
                Mistake::Before => {
                    let said = data(&request.id, request.submission, &taken);
                    planned.insert(0, plan(&request, treatment.latency / 2, &said, now));
                }
                Mistake::After => planned.push(self.second(&request, &taken, &treatment, now)),
            }
        }
        planned.sort_by_key(|message| message.after);
        planned
    }

    /// Another final answer, sent well after the first one.
    fn second(&self, request: &Request, answer: &Final, treatment: &Treatment, now: Timestamp) -> Planned {
        let said = data(&request.id, request.submission, answer);
        let apart = self.settings.contradict_after;
        Planned { apart, ..plan(request, treatment.answered() + treatment.latency + apart, &said, now) }
    }

    /// Remembers the request, and counts what the bridge must never do.
    fn meet(&mut self, request: &Request) {
        if !self.people.contains_key(&request.id) {
            self.state.persons += 1;
        }
        let owner = self.numbers.entry(request.number.clone()).or_insert_with(|| request.id.clone());
        if *owner != request.id {
            self.state.persons_doubled += 1;
        }
        let person = self.people.entry(request.id.clone()).or_default();
        person.newest = person.newest.max(request.submission);
        match person.submissions.get(&request.submission) {
            Some(seen) => {
                self.state.repeats += 1;
                self.state.changed_repeats += u64::from(seen.content != request.content);
            }
            None => {
                let seen = Submission { content: request.content.clone(), ..Submission::default() };
                person.submissions.insert(request.submission, seen);
            }
        }
    }

    fn decide(&mut self, request: &Request, verdict: &Verdict) -> Final {
        let known = self.people.get(&request.id);
        // An ID or a death that was issued or recorded stays, whatever a later submission says.
        let issued = known.and_then(|person| person.issued.clone().map(Final::Issued));
        let known = issued.or_else(|| known.filter(|person| person.recorded).map(|_| Final::Recorded));
        let answer = match (known, self.scripted.get(&request.id).cloned(), &verdict.answer) {
            (Some(known), _, _) => known,
            (None, Some(scripted), _) => scripted,
            (None, None, _) if !request.missing.is_empty() => Final::Rejected("missing_data"),
            (None, None, Final::Issued(_)) => Final::Issued(self.fresh_id(&request.id)),
            (None, None, Final::Recorded | Final::Rejected(_)) => verdict.answer.clone(),
        };
        let answers = self.state.answers.entry(request.id.clone()).or_default();
        answers.insert(request.submission, answer.clone());
        let person = self.people.entry(request.id.clone()).or_default();
        if let Some(submission) = person.submissions.get_mut(&request.submission) {
            submission.answer = Some(answer.clone());
        }
        if request.submission >= person.newest {
            self.state.finals.insert(request.id.clone(), answer.clone());
        }
        person.recorded |= answer == Final::Recorded;
        if let Final::Issued(id) = &answer {
            self.ids.insert(id.clone(), request.id.clone());
            if person.issued.get_or_insert_with(|| id.clone()) != id
                && self.doubled.insert(request.id.clone())
            {
                self.state.ids_doubled += 1;
            }
        }
        answer
    }

    /// An ID that nobody else has. It depends only on seed and request unless two requests collide.
    fn fresh_id(&self, request: &str) -> String {
        self.settings.ids(request).find(|id| !self.ids.contains_key(id)).unwrap_or_default()
    }

    /// Counts a reply that the broker has confirmed.
    pub(super) fn has_sent(&mut self) {
        self.state.published += 1;
    }

    fn genuine(
        &mut self,
        request: &Request,
        answer: &Final,
        treatment: &Treatment,
        first_time: bool,
        now: Timestamp,
    ) -> Vec<Planned> {
        let said = || data(&request.id, request.submission, answer);
        let mut planned = vec![plan(request, treatment.answered(), &said(), now)];
        if !first_time {
            return planned;
        }
        self.state.late_sent += u64::from(treatment.late.is_some());
        self.state.at_once_sent += u64::from(treatment.at_once);
        if treatment.duplicate {
            self.state.duplicates_sent += 1;
            planned.push(plan(request, treatment.answered() + treatment.latency, &said(), now));
        }
        if treatment.pending {
            self.state.pending_sent += 1;
            planned.push(plan(request, Duration::ZERO, &self.progress(request, "pending", None), now));
        }
        planned
    }

    fn progress(&self, request: &Request, status: &str, retry_after_s: Option<u32>) -> Value {
        let said = json!({
            "request_id": request.id, "submission": request.submission, "status": status,
            "nid_reference": format!("SIM-{:016x}", digest(&request.id) ^ self.settings.seed)
        });
        match retry_after_s {
            Some(after) => with(said, json!({"retry_after_s": after.max(1)})),
            None => said,
        }
    }

    fn garbage(
        &mut self,
        request: &Request,
        answer: &Final,
        garbage: Garbage,
        treatment: &Treatment,
        now: Timestamp,
    ) -> Planned {
        let anothers = self.ids.iter().find(|(_, owner)| **owner != request.id).map(|(id, _)| id.as_str());
        let huge = self.settings.huge;
        let (message_id, body) = Circumstances { request, answer, anothers, huge, now }.make(garbage);
        *self.state.garbage_sent.entry(garbage.name()).or_default() += 1;
        let after = if garbage.comes_after() {
            treatment.answered() + treatment.latency + self.settings.contradict_after
        } else {
            treatment.latency / 2
        };
        let apart = if garbage.comes_after() { self.settings.contradict_after } else { Duration::ZERO };
        Planned { apart, ..posted(request, after, message_id, body) }
    }
}

fn plan(request: &Request, after: Duration, said: &Value, now: Timestamp) -> Planned {
    let (message_id, body) = event(said, now);
    posted(request, after, message_id, body)
}

fn posted(request: &Request, after: Duration, message_id: String, body: Vec<u8>) -> Planned {
    let (routing_key, correlation_id) = (request.asked.reply_to(), request.id.clone());
    Planned { after, apart: Duration::ZERO, routing_key, correlation_id, message_id, body }
}

#[cfg(test)]
mod tests;
