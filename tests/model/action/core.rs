//! OpenCRVS: what it does with a call, and what happens around it.

use nidbridge::domain::{ClientRefusal, Credential};

use super::world::{Core, Flight, Release, Response, Rule, Scope, Step, Turn, World};

/// Handles a call and stores the answer. `live` tells whether its access token is valid.
pub fn handle(core: &mut Core, call: Credential, live: bool) -> Response {
    match call {
        Credential::Token if core.release == Release::New || core.token_dead => {
            return Response::TokenRefused;
        }
        Credential::Client if !live => return Response::Client(ClientRefusal::Refused),
        Credential::Client if core.release == Release::Old => {
            let refusal = if core.scope { ClientRefusal::Release } else { ClientRefusal::Scope };
            return Response::Client(refusal);
        }
        Credential::Client if !core.scope => return Response::Client(ClientRefusal::Scope),
        Credential::Client if core.assigned => return Response::Client(ClientRefusal::Assigned),
        Credential::Token | Credential::Client => {}
    }
    // An answer that is stored already is not stored again.
    core.stored = core.stored.max(1);
    Response::Done
}

/// Everything that happens outside the confirmers.
pub fn environment(world: &World, scope: &Scope, without: &[Rule], out: &mut Vec<(Step, World)>) {
    let mut change = |step: Step, change: &dyn Fn(&mut World)| {
        let mut after = *world;
        change(&mut after);
        if after != *world {
            out.push((step, after));
        }
    };
    let upgraded = world.core.release.next().filter(|next| *next <= scope.to && world.state.is_open());
    if let Some(next) = upgraded {
        change(Step::Upgraded, &|after| after.core.release = next);
    }
    if scope.has_token {
        change(Step::TokenDies, &|after| after.core.token_dead = true);
    }
    change(Step::UserAssigned, &|after| after.core.assigned = true);
    change(Step::UserUnassigned, &|after| after.core.assigned = false);
    if scope.has_client {
        change(Step::SecretRotated, &|after| after.core.rotated = true);
        change(Step::ScopeRemoved, &|after| after.core.scope = false);
    }
    // An operator acts only on an alert.
    if world.secret_alert && !without.contains(&Rule::RereadSecret) {
        change(Step::FileUpdated, &|after| {
            after.core.rotated = false;
            after.secret_alert = false;
        });
    }
    if world.scope_alert {
        change(Step::ScopeAdded, &|after| {
            after.core.scope = true;
            after.scope_alert = false;
        });
    }
    change(Step::LeaseEnds, &|after| after.leased = false);
    for c in 0..scope.confirmers {
        let n = usize::from(c);
        if world.confirmers[n].cached == Some(true) {
            change(Step::AccessTokenDies(c), &|after| after.confirmers[n].cached = Some(false));
        }
        if let Turn::Sent { call, flight: Flight::Flying, token, refusal, fresh } = world.confirmers[n].turn {
            let live = world.confirmers[n].cached == Some(true);
            change(Step::Handled(c), &|after| {
                let flight = Flight::Back(handle(&mut after.core, call, live));
                after.confirmers[n].turn = Turn::Sent { call, flight, token, refusal, fresh };
            });
            // The response is lost. The call itself may still arrive.
            change(Step::Broken(c), &|after| {
                after.strays[call as usize] = true;
                after.confirmers[n].turn = Turn::Sent { call, flight: Flight::Lost, token, refusal, fresh };
            });
        }
    }
    for call in [Credential::Token, Credential::Client] {
        if world.strays[call as usize] {
            change(Step::StrayHandled(call as u8), &|after| {
                after.strays[call as usize] = false;
                handle(&mut after.core, call, true);
            });
            change(Step::StrayLost(call as u8), &|after| after.strays[call as usize] = false);
        }
    }
}
