//! Decides what is answered to a request, and when. It has no clock and no broker, and draws random
//! values from the seed only.
//!
//! Invariant: see [`nid`](super). The state counts every breach, whether by the vendor or by the
//! bridge.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::decision::{Decision, Mistake};
use super::invalid::InvalidReply;
use super::reply::{Final, Planned, Replies, event};
use super::request::Request;
use super::settings::VendorSettings;
use super::state::NidState;
use crate::sandbox::json::with;
use crate::sandbox::random::digest;

#[derive(Debug, Default)]
struct Person {
    issued: Option<String>,
    recorded: bool,
    newest: u64,
    submissions: HashMap<u64, Submission>,
}

#[derive(Debug, Default)]
struct Submission {
    asked_to_retry: bool,
    answer: Option<Final>,
}

/// The ID system's decisions and memory.
#[derive(Debug, Default)]
pub struct Vendor {
    settings: VendorSettings,
    /// By request id.
    people: HashMap<String, Person>,
    /// The request id of each registration number.
    numbers: HashMap<String, String>,
    /// The request id of each ID.
    ids: HashMap<String, String>,
    /// Request ids for which two IDs were issued.
    doubled: HashSet<String>,
    /// Answers that are fixed beforehand, by request id.
    scripted: HashMap<String, Final>,
    state: NidState,
}

impl Vendor {
    pub fn new(settings: VendorSettings) -> Self {
        Self { settings, state: NidState::new(), ..Self::default() }
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
        let behaviour =
            Behaviour::draw(&self.settings, &mut self.settings.rng(&request.id, request.submission));
        let reply = Replies { request: &request, behaviour: &behaviour, now };
        let submission = self.remember(&request);
        if let Some(answer) = &submission.answer {
            return vec![reply.after(behaviour.due, reply.answer(answer))];
        }
        if behaviour.retry && !submission.asked_to_retry {
            submission.asked_to_retry = true;
            self.state.count("retry");
            let after = json!({"retry_after_s": self.settings.retry_after_s.max(1)});
            let retry = with(self.progress(&request, "retry"), after);
            return vec![reply.after(behaviour.latency, event(&retry, now))];
        }
        let decision = self.settings.decision(&request.id, request.submission, request.asked);
        let answer = self.decide(&request, &decision);
        let mut planned = self.genuine(&reply, &answer);
        planned.extend(behaviour.invalid.map(|kind| self.invalid(&reply, &answer, kind)));
        let apart = self.settings.contradict_after;
        // A known or scripted answer may differ from the decision. In that case the decision's
        // contradiction would not contradict the answer, so it is not sent.
        if let Some(other) = decision.contradiction.filter(|_| answer == decision.answer) {
            self.state.count("contradiction");
            if let Final::Issued(id) = &other {
                self.state.issued.entry(request.id.clone()).or_insert_with(|| id.clone());
            }
            planned.push(reply.second(apart, reply.answer(&other)));
        }
        if let (Some(mistake), Some(taken)) = (decision.mistake, self.settings.taken_id.clone()) {
            self.state.count("id_of_another");
            let taken = reply.answer(&Final::Issued(taken));
            match mistake {
                Mistake::Before => planned.insert(0, reply.after(behaviour.latency / 2, taken)),
                Mistake::After => planned.push(reply.second(apart, taken)),
            }
        }
        planned.sort_by_key(|message| message.after);
        planned
    }

    /// Remembers the request, and counts what the bridge must never do.
    fn remember(&mut self, request: &Request) -> &mut Submission {
        let owner = self.numbers.entry(request.number.clone()).or_insert_with(|| request.id.clone());
        self.state.persons_doubled += u64::from(*owner != request.id);
        self.state.persons += u64::from(!self.people.contains_key(&request.id));
        let person = self.people.entry(request.id.clone()).or_default();
        person.newest = person.newest.max(request.submission);
        let number = || request.number.clone();
        self.state.numbers.entry(request.id.clone()).or_insert_with(number);
        let contents = self.state.contents.entry(request.id.clone()).or_default();
        if let Some(seen) = contents.get(&request.submission) {
            self.state.repeats += 1;
            self.state.changed_repeats += u64::from(*seen != request.content);
        } else {
            contents.insert(request.submission, request.content.clone());
        }
        person.submissions.entry(request.submission).or_default()
    }

    fn decide(&mut self, request: &Request, decision: &Decision) -> Final {
        let fresh = self.fresh_id(&request.id);
        let person = self.people.entry(request.id.clone()).or_default();
        // An ID or a death that was issued or recorded stays, whatever a later submission says.
        let known = person.issued.clone().map(Final::Issued);
        let known = known.or_else(|| person.recorded.then_some(Final::Recorded));
        let answer = match (known.or_else(|| self.scripted.get(&request.id).cloned()), &decision.answer) {
            (Some(answer), _) => answer,
            (None, _) if !request.missing.is_empty() => Final::Rejected("missing_data"),
            (None, Final::Issued(_)) => Final::Issued(fresh),
            (None, Final::Recorded | Final::Rejected(_)) => decision.answer.clone(),
        };
        let answers = self.state.answers.entry(request.id.clone()).or_default();
        answers.insert(request.submission, answer.clone());
        if let Some(submission) = person.submissions.get_mut(&request.submission) {
            submission.answer = Some(answer.clone());
        }
        if request.submission >= person.newest {
            self.state.finals.insert(request.id.clone(), answer.clone());
        }
        person.recorded |= answer == Final::Recorded;
        if let Final::Issued(id) = &answer {
            self.ids.insert(id.clone(), request.id.clone());
            self.state.issued.entry(request.id.clone()).or_insert_with(|| id.clone());
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

    /// The first final answer with its duplicate, and the progress before it.
    fn genuine(&mut self, reply: &Replies<'_>, answer: &Final) -> Vec<Planned> {
        let &Behaviour { due, latency, late, at_once, duplicate, pending, .. } = reply.behaviour;
        let mut planned = vec![reply.after(due, reply.answer(answer))];
        if duplicate {
            planned.push(reply.after(due + latency, reply.answer(answer)));
        }
        if pending {
            let pending = event(&self.progress(reply.request, "pending"), reply.now);
            planned.push(reply.after(Duration::ZERO, pending));
        }
        let ways = [("late", late), ("at_once", at_once), ("duplicate", duplicate), ("pending", pending)];
        ways.into_iter().filter(|(_, misbehaves)| *misbehaves).for_each(|(way, _)| self.state.count(way));
        planned
    }

    fn progress(&self, request: &Request, status: &str) -> Value {
        json!({
            "request_id": request.id, "submission": request.submission, "status": status,
            "nid_reference": format!("SIM-{:016x}", digest(&request.id) ^ self.settings.seed)
        })
    }

    fn invalid(&mut self, reply: &Replies<'_>, answer: &Final, kind: InvalidReply) -> Planned {
        self.state.count(format!("garbage.{}", kind.name()));
        let another =
            self.ids.iter().find(|(_, owner)| **owner != reply.request.id).map(|(id, _)| id.as_str());
        let message = kind.build(reply, answer, another, self.settings.huge);
        if kind.is_final() {
            reply.second(self.settings.contradict_after, message)
        } else {
            reply.after(reply.behaviour.latency / 2, message)
        }
    }
}

#[cfg(test)]
mod tests;
