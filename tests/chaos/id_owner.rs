//! A person who is registered before the run, and whose ID the ID system later gives to others by
//! mistake.
//!
//! Invariant: the ID belongs to this person alone, and the bridge knows that before the ID system
//! can give it to anybody else.

use nidbridge::domain::{EventKind, RecordId, RequestId};
use nidbridge::sandbox::nid::Final;
use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::{Mix, Population};

use super::harness::eventually;
use super::options::Options;
use super::rig::{Rig, SOON};

/// Below the range from which the ID system issues IDs by itself.
const ID: &str = "4999999999";

/// Registers the person; returns their record.
pub async fn register(rig: &Rig, options: &Options) -> String {
    let births = Mix { deaths: 0.0, marriages: 0.0, ..Mix::default() };
    let family = Population::new(!options.seed, births).declaration(0);
    let record = RecordId::parse(&family.record).expect("a record id");
    let request = RequestId::of(&record, &EventKind::from_name(family.kind.name())).to_string();
    rig.nid.will_answer(&request, Final::Issued(ID.to_owned()));
    let submit = SubmitOptions::default();
    let submitted = if options.opencrvs.has_fhir() {
        rig.opencrvs.submit(&family, &rig.front, submit).await.expect("a token")
    } else {
        rig.opencrvs.submit_event(&family, &rig.front, submit).await.expect("a token")
    };
    assert!(submitted.result.is_success(), "{submitted:?}");
    eventually(SOON, "the owner of the ID is registered", async || {
        let seen = rig.opencrvs.record(&family.record)?;
        (seen.status() == Status::Registered && seen.identifiers.get("NATIONAL_ID")? == ID).then_some(())
    })
    .await;
    rig.nid.change(|vendor| vendor.taken_id = Some(ID.to_owned()));
    family.record
}
