//! Registration numbers: a number that the country gave is never replaced, and the year of a number
//! is that of the registration in the country.

use nidbridge::sandbox::opencrvs::{Status, SubmitOptions};
use nidbridge::sandbox::population::Kind;

use crate::front::wire::{send, taken_down};
use crate::harness::ledgers::Engine;
use crate::harness::world::World;
use crate::operator::ended;
use crate::pipeline::{ends_as, people, stands_as};

/// A request with more headers.
fn with_headers(request: &[u8], headers: &str) -> Vec<u8> {
    let text = std::str::from_utf8(request).unwrap();
    text.replacen("\r\n", &format!("\r\n{headers}\r\n"), 1).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_with_one_given_number_the_second_waits_and_never_gets_another_one() {
    let world = World::with(Engine::Sqlite, &[("NUMBER_HEADER", "on")]).await;
    let families = people(Kind::Birth, 2, 241);
    for family in &families {
        let request = with_headers(&taken_down(&world, family).await, "X-Registration-Number: 0001/2025");
        assert_eq!(send(&world.front, &request).await.status, 202);
        let end = if family.record == families[0].record { "confirmed" } else { "parked" };
        stands_as(&world, &family.record, end).await;
    }
    let (first, second) = (&families[0].record, &families[1].record);
    assert_eq!(world.opencrvs.record(first).unwrap().numbers, ["0001/2025"]);
    // Both records are named: each in the history of the other one.
    for (record, other, what) in [(first, second, "number_wanted_by"), (second, first, "number_of_record")] {
        let shown = ended(&world, &["attempts", "show", record], &[]).await;
        assert!(shown.stdout.contains(other.as_str()) && shown.stdout.contains(what), "{}", shown.stdout);
    }
    // The same number is tried again; the template never replaces it.
    let attempt = world.history(second).await.iter().find_map(|entry| entry.attempt).unwrap().to_string();
    let told = ended(&world, &["attempts", "resume", &attempt, "--reason", "x"], &[]).await;
    assert_ne!(told.code, Some(0), "{}", told.stdout);
    assert!(
        format!("{}{}", told.stdout, told.stderr).contains(first.as_str()),
        "{} {}",
        told.stdout,
        told.stderr
    );
    stands_as(&world, second, "parked").await;
    // Once numbers need to be unique only within an office or a kind, the number is free.
    let free = [("NUMBER_UNIQUE", "office,kind")];
    let told = ended(&world, &["attempts", "resume", &attempt, "--reason", "x"], &free).await;
    assert_eq!(told.code, Some(0), "{} {}", told.stdout, told.stderr);
    ends_as(&world, second, Status::Registered).await;
    assert_eq!(world.opencrvs.record(second).unwrap().numbers, ["0001/2025"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_counts_only_where_it_is_switched_on_or_comes_with_the_secret() {
    let off = World::with(Engine::Sqlite, &[]).await;
    let family = people(Kind::Birth, 1, 251).remove(0);
    let request = with_headers(&taken_down(&off, &family).await, "X-Registration-Number: 0001/2025");
    assert_eq!(send(&off.front, &request).await.status, 202);
    ends_as(&off, &family.record, Status::Registered).await;
    assert_eq!(off.opencrvs.record(&family.record).unwrap().numbers, [off.number_of(&family).await]);

    let bound = World::with(Engine::Sqlite, &[("NUMBER_HEADER_SECRET", "hush")]).await;
    let request = taken_down(&bound, &family).await;
    for (secret, status) in [("", 403), ("X-Registration-Number-Secret: other\r\n", 403)] {
        let headers = format!("{secret}X-Registration-Number: 0001/2025");
        assert_eq!(send(&bound.front, &with_headers(&request, &headers)).await.status, status, "{secret}");
    }
    let headers = "X-Registration-Number-Secret: hush\r\nX-Registration-Number: 0001/2025";
    assert_eq!(send(&bound.front, &with_headers(&request, headers)).await.status, 202);
    ends_as(&bound, &family.record, Status::Registered).await;
    assert_eq!(bound.opencrvs.record(&family.record).unwrap().numbers, ["0001/2025"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_of_the_last_day_of_a_year_has_the_number_of_that_year() {
    let world = World::with(Engine::Sqlite, &[("COUNTRY_TIME_ZONE", "Pacific/Niue")]).await;
    let family = people(Kind::Birth, 1, 257).remove(0);
    // 13:30 on New Year's Eve in Niue (UTC-11).
    let at = Some("2026-01-01T00:30:00Z".parse().unwrap());
    let options = SubmitOptions { at, ..SubmitOptions::default() };
    let submitted = world.opencrvs.submit(&family, &world.front, options).await.unwrap();
    assert!(submitted.result.is_success(), "{:?}", submitted.result);
    ends_as(&world, &family.record, Status::Registered).await;
    let number = format!("2025{}", family.tracking_id);
    assert_eq!(world.opencrvs.record(&family.record).unwrap().numbers, [number]);
}
