//! The work of a confirmer, step by step. Between any two steps it may stop.

use jiff::Timestamp;
use nidbridge::domain::lease::{LeaseState, may_finish};
use nidbridge::domain::{
    Blocker, Choice, ClientRefusal, ClientStanding, Credential, Credentials, Dialect, Event, State,
    TokenState, choose, expires_at, next,
};

use super::core::environment;
use super::world::{Does, Flight, Release, Response, Rule, Scope, Step, Turn, World};

pub fn successors(world: &World, scope: &Scope, without: &[Rule], out: &mut Vec<(Step, World)>) {
    if !world.state.is_open() && world.confirmers.iter().all(|one| one.turn == Turn::Idle) {
        return;
    }
    environment(world, scope, without, out);
    for c in 0..scope.confirmers {
        Process { world, scope, without, c }.successors(out);
    }
    out.retain_mut(|(step, after)| {
        let costs = u8::from(step.is_trouble());
        after.troubles = world.troubles.saturating_sub(costs);
        world.troubles >= costs
    });
}

struct Process<'a> {
    world: &'a World,
    scope: &'a Scope,
    without: &'a [Rule],
    c: u8,
}

impl Process<'_> {
    fn has(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    fn me(&self) -> usize {
        usize::from(self.c)
    }

    fn successors(&self, out: &mut Vec<(Step, World)>) {
        let mut push = |does: Does, after: World| out.push((Step::Confirmer(self.c, does), after));
        let me = self.world.confirmers[self.me()];
        // The order of the two matters only where there are two.
        if self.scope.has_client && self.scope.has_token && self.scope.confirmers == 1 {
            self.probe(&mut push);
        }
        if me.turn != Turn::Idle {
            let mut stopped = *self.world;
            if let Turn::Sent { call, flight: Flight::Flying, .. } = me.turn {
                stopped.strays[call as usize] = true;
            }
            self.back_in_queue(&mut stopped);
            stopped.confirmers[self.me()].cached = None;
            push(Does::Stops, stopped);
        }
        match me.turn {
            Turn::Idle => self.take_message(&mut push),
            Turn::Choosing { token, refusal, fresh } => self.choose(token, refusal, fresh, &mut push),
            Turn::Sent { flight: Flight::Flying, .. } => {}
            Turn::Sent { flight: Flight::Back(response), token, refusal, fresh, .. } => {
                self.receive_response(response, (token, refusal, fresh), &mut push);
            }
            Turn::Sent { call, flight: Flight::Lost, .. } => {
                push(Does::HearsNothing, self.after_lost_response(call));
            }
        }
    }

    /// The probe finds out whether the release takes the client.
    fn probe(&self, push: &mut impl FnMut(Does, World)) {
        let mut after = *self.world;
        let core = &self.world.core;
        let may = core.release != Release::Old && core.scope;
        after.confirmers[self.me()].standing = if may { ClientStanding::May } else { ClientStanding::MayNot };
        if after != *self.world {
            push(Does::Probes, after);
        }
    }

    fn take_message(&self, push: &mut impl FnMut(Does, World)) {
        let world = self.world;
        if !world.message || world.state != State::Answered || (world.leased && self.has(Rule::Lease)) {
            return;
        }
        let mut after = *world;
        after.owner = Some(self.c);
        after.leased = true;
        let is_dead = world.core.token_dead;
        // The token has ended if it is dead: a time before now.
        let end =
            self.scope.has_token.then_some(if is_dead { Timestamp::UNIX_EPOCH } else { Timestamp::MAX });
        let has_client = self.scope.has_client && self.has(Rule::NoExpiryWithClient);
        if expires_at(Dialect::Events, end, has_client).is_some_and(|end| end == Timestamp::UNIX_EPOCH) {
            self.finish(&mut after, Event::Expire);
            return push(Does::Expires, after);
        }
        // The confirmer may also find out only from OpenCRVS that the token is dead.
        let mut states = vec![TokenState::Absent];
        if self.scope.has_token {
            states =
                if is_dead { vec![TokenState::Absent, TokenState::Usable] } else { vec![TokenState::Usable] };
        }
        for token in states {
            after.confirmers[self.me()].turn = Turn::Choosing { token, refusal: None, fresh: false };
            push(Does::Takes, after);
        }
    }

    fn choose(
        &self,
        token: TokenState,
        refusal: Option<ClientRefusal>,
        fresh: bool,
        push: &mut impl FnMut(Does, World),
    ) {
        let me = self.world.confirmers[self.me()];
        let mut standings = vec![me.standing];
        if !self.has(Rule::Order) && self.scope.has_client {
            standings = vec![ClientStanding::May, ClientStanding::MayNot];
        }
        for client in standings {
            match choose(&Credentials { token, client, refusal }) {
                Choice::Try(call) => {
                    let refused = refusal.is_some() || token == TokenState::Refused;
                    if refused && !self.has(Rule::OtherCredential) {
                        let mut after = *self.world;
                        self.finish(&mut after, Event::Park);
                        push(Does::Parks, after);
                    } else {
                        self.send(call, (token, refusal, fresh), push);
                    }
                }
                Choice::Later(blocker) => push(Does::Waits, self.wait(blocker)),
                Choice::TokenRefused | Choice::NotFound => {
                    let mut after = *self.world;
                    after.operators = refusal == Some(ClientRefusal::Release);
                    self.finish(&mut after, Event::Park);
                    push(Does::Parks, after);
                }
            }
        }
    }

    fn send(
        &self,
        call: Credential,
        (token, refusal, fresh): (TokenState, Option<ClientRefusal>, bool),
        push: &mut impl FnMut(Does, World),
    ) {
        let mut after = *self.world;
        let me = &mut after.confirmers[self.me()];
        if call == Credential::Client && me.cached.is_none() {
            let accepted = !self.world.core.rotated;
            let refusal = if accepted { None } else { Some(ClientRefusal::Refused) };
            me.cached = accepted.then_some(true);
            me.turn = Turn::Choosing { token, refusal, fresh };
            push(Does::Fetches(accepted), after);
            let mut away = *self.world;
            let refusal = Some(ClientRefusal::Unavailable);
            away.confirmers[self.me()].turn = Turn::Choosing { token, refusal, fresh };
            push(Does::FetchFails, away);
            return;
        }
        let reads = call == Credential::Client && me.cached == Some(true) && self.world.core.scope;
        if reads && self.has(Rule::ReadFirst) && self.world.core.stored > 0 {
            self.end(&mut after);
            return push(Does::SeesItDone, after);
        }
        me.turn = Turn::Sent { call, flight: Flight::Flying, token, refusal, fresh };
        push(Does::Sends(call), after);
    }

    fn receive_response(
        &self,
        response: Response,
        (token, refusal, fresh): (TokenState, Option<ClientRefusal>, bool),
        push: &mut impl FnMut(Does, World),
    ) {
        let mut after = *self.world;
        let me = &mut after.confirmers[self.me()];
        match response {
            Response::Done => self.end(&mut after),
            Response::TokenRefused => {
                me.turn = Turn::Choosing { token: TokenState::Refused, refusal, fresh };
            }
            Response::Client(ClientRefusal::Refused) if !fresh => {
                if self.has(Rule::FreshToken) {
                    me.cached = None;
                }
                me.turn = Turn::Choosing { token, refusal: None, fresh: true };
            }
            Response::Client(refusal) => {
                me.turn = Turn::Choosing { token, refusal: Some(refusal), fresh };
            }
        }
        push(Does::Hears, after);
    }

    /// The result of the call is not known: the client reads the event, if it may; otherwise the
    /// call is repeated later.
    fn after_lost_response(&self, call: Credential) -> World {
        let mut after = *self.world;
        let core = self.world.core;
        let reads = call == Credential::Client && core.scope && core.release != Release::Old;
        let is_done = reads && core.stored > 0 && self.has(Rule::ReadAfterDoubt);
        if !is_done && self.has(Rule::RepeatAfterDoubt) {
            self.back_in_queue(&mut after);
        } else {
            self.end(&mut after);
        }
        after
    }

    fn wait(&self, blocker: Blocker) -> World {
        let mut after = *self.world;
        let waits = match blocker {
            Blocker::Assigned => self.has(Rule::WaitWhileAssigned),
            Blocker::Scope => self.has(Rule::WaitForScope),
            Blocker::Refused => self.has(Rule::WaitForSecret),
            Blocker::Missing | Blocker::Unavailable => true,
        };
        if !waits {
            self.finish(&mut after, Event::Park);
            return after;
        }
        let is_configuration = matches!(blocker, Blocker::Scope | Blocker::Refused);
        after.unreported = is_configuration && !self.has(Rule::Alert);
        // An alert about what was mended meanwhile makes nobody act.
        after.scope_alert |= blocker == Blocker::Scope && !after.core.scope;
        after.secret_alert |= blocker == Blocker::Refused && after.core.rotated;
        self.back_in_queue(&mut after);
        after.message = self.has(Rule::Redeliver);
        after
    }

    /// Ends the attempt after OpenCRVS has an answer to the action.
    fn end(&self, after: &mut World) {
        self.finish(after, if self.scope.rejects { Event::Reject } else { Event::Confirm });
    }

    /// Stores the result, as the ledger does: under the last lease, except for a confirmation.
    fn finish(&self, after: &mut World, event: Event) {
        let fence = i64::from(self.world.owner == Some(self.c) || after.owner == Some(self.c));
        let lease = LeaseState { fence: 1, until: Timestamp::MAX };
        let may = !self.has(Rule::Lease) || may_finish(&lease, fence, event);
        if may && let Ok(state) = next(after.state, event) {
            after.state = state;
        }
        self.back_in_queue(after);
        after.message = after.state.is_open();
    }

    fn back_in_queue(&self, after: &mut World) {
        after.confirmers[self.me()].turn = Turn::Idle;
        if after.owner == Some(self.c) {
            after.leased = false;
        }
    }
}
