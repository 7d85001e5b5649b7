//! The files of the recipes fit one another and the program: every setting exists, and every host
//! name belongs to a service.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::program::{ours, yaml};

const SWARM: &str = "deploy/attach/swarm/docker-compose.nidbridge.yml";
const KUBERNETES: &str = "deploy/attach/helm/nidbridge.yaml";
const POLICIES: &str = "deploy/attach/helm/network-policy.yaml";
const BY_PATH: &str = "deploy/attach/nginx/countryconfig.conf";
const CHART: &str = "deploy/attach/helm/values-opencrvs.yaml";

fn settings(of: &Value) -> BTreeMap<String, String> {
    let members = of.as_object().unwrap().iter();
    members.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

pub fn swarm(service: &str) -> BTreeMap<String, String> {
    settings(&yaml(SWARM)[0]["services"][service]["environment"])
}

/// The settings of all roles in Kubernetes, without the secrets.
pub fn kubernetes() -> BTreeMap<String, String> {
    let all = yaml(KUBERNETES);
    settings(&all.iter().find(|one| one["kind"] == "ConfigMap").unwrap()["data"])
}

/// Checks that the program accepts these settings once each variable has a value.
fn assert_taken(mut settings: BTreeMap<String, String>) {
    let secrets = [
        ("AMQP_URL", "amqp://u:p@rabbitmq:5672/nidbridge"),
        ("NID_AMQP_URL", "amqp://u:p@rabbitmq:5672/nid"),
        ("LEDGER_URL", "postgres://u:p@postgres/nidbridge"),
        ("SEAL_KEYS", crate::harness::ledgers::SEAL_KEYS),
    ];
    for (name, value) in secrets {
        let given = settings.insert(name.to_owned(), value.to_owned());
        assert!(given.is_none_or(|given| given == format!("${{NIDBRIDGE_{name}}}")), "{name}");
    }
    settings.entry("FRONT_SPOOL".to_owned()).or_insert_with(|| "/spool".to_owned());
    let mut command = Command::new(env!("CARGO_BIN_EXE_nidbridge"));
    let output = command.args(["config", "check"]).env_clear().envs(&settings).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    // The program warns of a name that resembles a setting. That the services of OpenCRVS and the
    // broker are called in clear is so in the network of the containers, and is not for these files
    // to change.
    let warns = |line: &&str| line.contains("warning") && !line.contains("is not encrypted");
    assert!(output.status.success() && said.lines().find(warns).is_none(), "{said}");
    let known = Command::new(env!("CARGO_BIN_EXE_nidbridge")).args(["config", "reference"]).output().unwrap();
    let known = String::from_utf8(known.stdout).unwrap();
    for name in settings.keys() {
        assert!(known.contains(name.as_str()), "{name} is not a setting");
    }
}

#[test]
fn the_program_accepts_the_settings_of_the_swarm_file() {
    let file = &yaml(SWARM)[0];
    for role in ["nidbridge-front-1", "nidbridge-front-2", "nidbridge-worker", "nidbridge-confirmer"] {
        let service = &file["services"][role];
        assert_eq!(service["command"][0], role.split('-').nth(1).unwrap());
        assert_taken(settings(&service["environment"]));
    }
    // Each front has its own spool.
    let spools: BTreeSet<&str> = ["nidbridge-front-1", "nidbridge-front-2"]
        .iter()
        .map(|front| file["services"][front]["volumes"][0].as_str().unwrap())
        .collect();
    assert_eq!(spools.len(), 2);
    let place = &swarm("nidbridge-front-1")["FRONT_SPOOL"];
    assert!(spools.iter().all(|spool| spool.split(':').nth(1) == Some(place)), "{spools:?} at {place}");
    let image = fs::read_to_string(ours("deploy/Dockerfile")).unwrap();
    assert!(image.contains(place), "the image has no {place}");
    let volumes = file["volumes"].as_object().unwrap();
    assert!(spools.iter().all(|spool| volumes.contains_key(spool.split(':').next().unwrap())), "{volumes:?}");
    // OpenCRVS calls nginx's service.
    for caller in ["workflow", "events"] {
        assert_eq!(file["services"][caller]["environment"][0], "COUNTRY_CONFIG_URL=http://nidbridge:3040");
    }
    assert!(file["services"]["nidbridge"]["image"].as_str().unwrap().starts_with("nginx:"));
}

#[test]
fn the_kubernetes_files_fit_together() {
    let all = yaml(KUBERNETES);
    assert_taken(kubernetes());
    let of = |kind: &str| all.iter().filter(|one| one["kind"] == kind).collect::<Vec<_>>();
    let pods: Vec<&Value> = ["Deployment", "StatefulSet"].into_iter().flat_map(of).collect();
    let labels: BTreeSet<&str> = pods
        .iter()
        .map(|pod| pod["spec"]["template"]["metadata"]["labels"]["app"].as_str().unwrap())
        .collect();
    for pod in &pods {
        assert_eq!(pod["spec"]["selector"]["matchLabels"], pod["spec"]["template"]["metadata"]["labels"]);
    }
    for service in of("Service") {
        let selected = service["spec"]["selector"]["app"].as_str().unwrap();
        assert!(labels.contains(selected), "nobody is {selected}");
    }
    let front = of("StatefulSet")[0];
    // Each name in nginx's configuration is the service of one pod.
    let first = front["spec"]["ordinals"]["start"].as_u64().unwrap();
    for pod in first..first + front["spec"]["replicas"].as_u64().unwrap() {
        let name = format!("nidbridge-front-{pod}");
        let service = of("Service").into_iter().find(|service| service["metadata"]["name"] == name).unwrap();
        assert_eq!(service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"], name);
        assert_eq!(service["spec"]["clusterIP"], Value::Null, "an address that stays");
        assert!(fs::read_to_string(ours(BY_PATH)).unwrap().contains(&format!("{name}:3040")));
    }
    assert_eq!(front["spec"]["serviceName"], "nidbridge-front");
    let spool = &front["spec"]["volumeClaimTemplates"][0]["metadata"]["name"];
    let container = &front["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["volumeMounts"][0]["name"], spool.as_str()), (spool, Some("spool")));
    assert_eq!(container["volumeMounts"][0]["mountPath"], kubernetes()["FRONT_SPOOL"].as_str());
    let chart = &yaml(CHART)[0];
    for caller in ["workflow", "events"] {
        assert_eq!(chart[caller]["env"]["COUNTRY_CONFIG_URL"], "http://nidbridge:3040");
    }
}

#[test]
fn each_role_in_kubernetes_has_only_its_own_secrets_and_may_call_opencrvs() {
    let all = yaml(KUBERNETES);
    let pods: Vec<&Value> =
        all.iter().filter(|one| one["kind"] == "Deployment" || one["kind"] == "StatefulSet").collect();
    for (role, secrets) in [
        ("front", &["AMQP_URL", "SEAL_KEYS"][..]),
        ("worker", &["AMQP_URL", "NID_AMQP_URL", "LEDGER_URL", "SEAL_KEYS"]),
        ("confirmer", &["AMQP_URL", "LEDGER_URL", "SEAL_KEYS"]),
    ] {
        let name = format!("nidbridge-{role}");
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == name.as_str()).unwrap();
        let (pod, container) =
            (&pod["spec"]["template"]["spec"], &pod["spec"]["template"]["spec"]["containers"][0]);
        let given: Vec<&str> =
            container["env"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        let secrets = secrets.iter().map(|name| format!("{name}_FILE"));
        let expected: Vec<String> = ["BROKER_APPLY_TOPOLOGY".to_owned()].into_iter().chain(secrets).collect();
        assert_eq!(given, expected, "{role}");
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], name.as_str());
        assert_eq!(container["envFrom"].as_array().unwrap().len(), 1, "{role}: only the ConfigMap");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{role}");
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL", "{role}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{role}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{role}");
    }
    let policies = yaml(POLICIES);
    let allowed = policies.iter().find(|one| one["metadata"]["name"] == "nidbridge-to-opencrvs").unwrap();
    let callers = &allowed["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"];
    for pod in &pods {
        let label = &pod["metadata"]["name"];
        assert!(callers.as_array().unwrap().iter().any(|one| one == label), "{label} may not call OpenCRVS");
    }
}

#[test]
fn every_file_that_a_page_links_to_exists() {
    for page in [
        "README.md",
        "deploy/attach/README.md",
        "deploy/operating.md",
        "deploy/SECURITY.md",
        "deploy/PRIVACY.md",
    ] {
        let page = ours(page);
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = page.parent().unwrap().join(link.split('#').next().unwrap_or_default());
            assert!(file.exists(), "{} links to {link}", page.display());
        }
    }
}

/// The page says how to make the nginx configurations that the tests run.
#[test]
fn the_names_that_the_page_replaces_are_in_the_files() {
    let page = fs::read_to_string(ours("deploy/attach/README.md")).unwrap();
    let (by_url, by_path) = (
        fs::read_to_string(ours("deploy/nginx/nidbridge.conf")).unwrap(),
        fs::read_to_string(ours(BY_PATH)).unwrap(),
    );
    for name in ["127.0.0.1:3041", "127.0.0.1:3042", "listen 127.0.0.1:3040"] {
        assert!(page.contains(name) && by_url.contains(name), "{name}");
    }
    for name in ["nidbridge-front-1", "nidbridge-front-2"] {
        assert!(page.contains(name) && by_path.contains(name), "{name}");
    }
}
