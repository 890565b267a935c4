//! Killing, pausing and healing the parts of a fleet.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Fleet, becomes, birth, drill};

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.sleeper("postgres");
    fleet.sleeper("cluster1-kine-shim");
    fleet.sleeper("cluster1-helium-apiserver");
    fleet
}

#[test]
fn a_part_that_was_killed_is_started_again_as_it_was_recorded() {
    let mut fleet = fleet();
    // The environment of a part is a file, since it may hold secrets; it is read as a shell does.
    let secrets = fleet.path().join("secrets.env");
    fs::write(&secrets, "WORD='a \"secret\"'\n").expect("written");
    let out = fleet.path().join("out");
    let script = format!("printf %s \"$WORD\" > {}; exec sleep 600", out.display());
    fleet.add(
        "cluster1-x",
        &["bash", "-c", &script],
        &secrets.display().to_string(),
    );
    becomes("it has begun", || fs::read(&out).is_ok());
    let before = fleet.pid("cluster1-x");
    fleet.drill("kill", &["cluster1-x"]).good();
    assert_eq!(birth(before), None, "it is gone when kill returns");
    assert_eq!(fleet.state("cluster1-x"), "ended");
    assert_eq!(fleet.state("postgres"), "runs");

    let untouched = fs::read_to_string(fleet.run("postgres")).expect("a record");
    let said = fleet.drill("heal", &[]).stderr;
    assert!(said.contains("cluster1-x was started"), "{said}");
    assert_eq!(fleet.state("cluster1-x"), "runs");
    assert_ne!(fleet.pid("cluster1-x"), before);
    becomes("its environment is there", || {
        fs::read_to_string(&out).is_ok_and(|text| text == "a \"secret\"")
    });
    // A process group of its own: a terminal's Ctrl-C isn't for it.
    let pid = fleet.pid("cluster1-x").to_string();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let group = stat.rsplit_once(") ").expect("fields").1.split(' ').nth(2);
    assert_eq!(group, Some(pid.as_str()));
    assert_eq!(
        fs::read_to_string(fleet.run("postgres")).expect("a record"),
        untouched
    );
    let log = fs::read_to_string(fleet.path().join("logs/cluster1-x.log")).expect("a log");
    assert!(log.contains("started again by helium drill"), "{log}");
}

#[test]
fn a_part_that_was_paused_goes_on_as_the_same_process() {
    let fleet = fleet();
    let pid = fleet.pid("cluster1-kine-shim");
    fleet.drill("pause", &["cluster1-kine-shim"]).good();
    becomes("it is stopped", || {
        fleet.state("cluster1-kine-shim") == "stopped"
    });
    let said = fleet.drill("heal", &[]).stderr;
    assert!(said.contains("cluster1-kine-shim goes on"), "{said}");
    assert_eq!(fleet.state("cluster1-kine-shim"), "runs");
    assert_eq!(fleet.pid("cluster1-kine-shim"), pid);
    assert!(
        fleet
            .drill("heal", &[])
            .stderr
            .contains("nothing was broken")
    );
}

#[test]
fn a_process_that_only_has_the_number_is_never_signalled() {
    let fleet = fleet();
    let pid = fleet.pid("postgres");
    // As if the number had been given to another since.
    fs::write(fleet.run("postgres"), format!("{pid} 1\n")).expect("written");
    let said = fleet.drill("kill", &["postgres"]).refused("H062");
    assert!(said.contains("its process has ended"), "{said}");
    fleet.drill("pause", &["postgres"]).refused("H062");
    assert!(birth(pid).is_some(), "whoever has the number lives");
}

#[test]
fn parts_are_shown_in_the_order_in_which_they_need_each_other() {
    let fleet = fleet();
    let shown = fleet.drill("parts", &[]).good();
    let names: Vec<&str> = shown
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        [
            "postgres",
            "cluster1-kine-shim",
            "cluster1-helium-apiserver"
        ]
    );
    let said = fleet.drill("kill", &["nobody"]).refused("H062");
    assert!(said.contains("the fleet has no part nobody"), "{said}");
}

#[test]
fn what_cannot_be_started_is_said_and_the_rest_is_healed() {
    let mut fleet = fleet();
    fleet.add("cluster1-x", &["sleep", "600"], "");
    let recipe = fleet.path().join("parts/cluster1-x.json");
    let text = fs::read_to_string(&recipe).expect("a recipe");
    fleet.drill("kill", &["cluster1-x"]).good();
    fleet.drill("pause", &["postgres"]).good();
    fs::write(&recipe, text.replace("\"600\"", "\"for ever\"")).expect("written");
    let said = fleet.drill("heal", &[]).refused("H064");
    assert!(said.contains("cluster1-x doesn't run"), "{said}");
    assert_eq!(fleet.state("postgres"), "runs");
}

#[test]
fn one_at_a_time_works_on_a_fleet_and_the_dead_hold_nothing() {
    let fleet = fleet();
    let lock = fleet.path().join("lock");
    fs::create_dir(&lock).expect("a folder");
    let mut holder = Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep runs");
    let mut pid = fs::File::create(lock.join("pid")).expect("a file");
    writeln!(pid, "{}", holder.id()).expect("written");
    let said = fleet.drill("heal", &[]).refused("H061");
    assert!(said.contains(&holder.id().to_string()), "{said}");
    fleet.drill("parts", &[]).good(); // looking is free
    holder.kill().expect("killed");
    holder.wait().expect("gone");
    fleet.drill("heal", &[]).good();
    assert!(!lock.exists(), "it is given back");
}

#[test]
fn what_is_no_fleet_of_processes_is_told_so() {
    let empty = tempfile::tempdir().expect("a folder");
    let dir = empty.path().display().to_string();
    drill(&["parts", "--fleet", &dir]).refused("H060");
    fs::write(empty.path().join("profile"), "kind\n").expect("written");
    let said = drill(&["heal", "--fleet", &dir]).refused("H060");
    assert!(said.contains("\"kind\""), "{said}");
    // One of a setup.sh that didn't record how parts are started.
    fs::write(empty.path().join("profile"), "processes\n").expect("written");
    fs::write(empty.path().join("owned"), "process postgres\n").expect("written");
    let said = drill(&["run", "--fleet", &dir]).refused("H060");
    assert!(said.contains("parts/postgres.json"), "{said}");
}

#[test]
fn a_drill_begins_with_nothing_that_is_not_whole() {
    let mut fleet = fleet();
    fleet.sleeper("cluster1-helium-agent");
    let said = fleet
        .drill("run", &["--scenario", "cut-cluster"])
        .refused("H063");
    assert!(said.contains("--drill"), "{said}");
    fleet.drill("kill", &["postgres"]).good();
    let said = fleet
        .drill("run", &["--scenario", "kill-agent"])
        .refused("H064");
    assert!(said.contains("postgres doesn't run"), "{said}");
}

/// A drill that is killed in the middle leaves things as they are; healing needs to know nothing of it.
#[test]
fn what_a_killed_drill_left_broken_is_healed() {
    let mut fleet = fleet();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = listener.local_addr().expect("its address").port();
    fleet.relay("cluster1", target);
    fleet.drill("cut", &["cluster1/store"]).good();
    fleet.drill("pause", &["cluster1-kine-shim"]).good();
    fleet.drill("kill", &["postgres"]).good();
    // What such a drill leaves: its lock.
    let mut dead = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .expect("sleep runs");
    dead.kill().expect("killed");
    dead.wait().expect("gone");
    fs::create_dir(fleet.path().join("lock")).expect("a folder");
    fs::write(fleet.path().join("lock/pid"), format!("{}\n", dead.id())).expect("written");

    let said = fleet.drill("heal", &[]).stderr;
    for line in [
        "link cluster1/store carries",
        "cluster1-kine-shim goes on",
        "postgres was started",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let list = fleet.list();
    assert!(
        list["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .all(|part| part["state"] == "runs"),
        "{list}"
    );
    assert_eq!(list["links"][0]["mode"], "pass");

    // The relay itself, too, with everything open.
    fleet
        .drill("cut", &["cluster1/store", "--mode", "refuse"])
        .good();
    fleet.drill("kill", &["cluster1-links"]).good();
    let said = fleet.drill("heal", &[]).stderr;
    assert!(said.contains("cluster1-links was started"), "{said}");
    assert_eq!(fleet.list()["links"][0]["mode"], "pass");
    let said = fleet.drill("cut", &["cluster1/nothing"]).refused("H063");
    assert!(said.contains("there is no link nothing"), "{said}");
}
