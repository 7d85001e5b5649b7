use super::*;

#[tokio::test]
async fn the_forms_are_where_their_release_has_them() {
    let sim = sim(Release::V1_9).await;
    let status = async |path: &str| {
        reqwest::get(format!("{}{path}", sim.country_config_url())).await.unwrap().status().as_u16()
    };
    let (old, new) = (
        ["/events", "/workqueue", "/application-config"],
        ["/config/events", "/config/workqueues", "/config/application"],
    );
    for release in [Release::V1_9, Release::V2_0, Release::V2_1] {
        sim.upgrade(release);
        let is_old = release == Release::V1_9;
        for (old, new) in old.iter().zip(new) {
            let expected = if is_old { (200, 404) } else { (404, 200) };
            assert_eq!((status(old).await, status(new).await), expected, "{release:?} {old}");
        }
    }
    let forms: Value = reqwest::get(format!("{}/config/events", sim.country_config_url()))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&forms[0]["id"], &forms[0]["declaration"]["pages"][1]["fields"][0]["id"]),
        (&json!("birth"), &json!("child.nid"))
    );
}
