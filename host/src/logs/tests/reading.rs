//! Reading back what was captured, while it is captured and afterwards.

use super::*;

#[test]
fn a_follower_sees_each_line_once_while_files_rotate_under_it() {
    const COUNT: usize = 60_000;
    let rig = Rig::new();
    let writer = rig.pipe("web", Stream::Stdout, &tiny(20_000));
    let query = Query { follow: true, ..rig.query(&["web"]) };
    let changes = vec![rig.capture.changes(&"web".into())];
    let mut follower = Follower::new(LogReader::open(&rig.dir, &query).unwrap(), changes);
    let following = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut next = 0;
        while next < COUNT {
            let batch = follower.next_batch(777).unwrap();
            if batch.is_empty() {
                assert!(runtime.block_on(follower.wait()));
            }
            for line in batch {
                assert_eq!(String::from_utf8(line.text).unwrap(), format!("line {next}"));
                next += 1;
            }
        }
        assert_eq!(follower.next_batch(10).unwrap(), []);
        next
    });
    write_numbers(writer, 0..u32::try_from(COUNT).unwrap());
    assert_eq!(following.join().unwrap(), COUNT);
    assert!(rig.counters("web").rotations > 50);
}

#[test]
fn a_follower_of_several_services_wakes_up_for_each_and_ends_with_the_last() {
    let rig = Rig::new();
    let web = rig.pipe("web", Stream::Stdout, &LogSettings::default());
    let db = rig.pipe("db", Stream::Stderr, &LogSettings::default());
    let query = Query { follow: true, ..rig.query(&["web", "db"]) };
    let services: [Arc<str>; 2] = ["web".into(), "db".into()];
    let changes = services.iter().map(|name| rig.capture.changes(name)).collect();
    let mut follower = Follower::new(LogReader::open(&rig.dir, &query).unwrap(), changes);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (mut writer, text) in [(&web, "one"), (&db, "two"), (&web, "three")] {
        writeln!(writer, "{text}").unwrap();
        let mut batch = Vec::new();
        while batch.is_empty() {
            assert!(runtime.block_on(follower.wait()));
            batch = follower.next_batch(10).unwrap();
        }
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].text, text.as_bytes());
    }
    for service in &services {
        rig.capture.remove(service);
    }
    rig.flush();
    while runtime.block_on(follower.wait()) {
        assert_eq!(follower.next_batch(10).unwrap(), []);
    }
    assert_eq!(rig.capture.counters(), []);
}

#[test]
fn the_last_lines_are_found_from_the_end_whatever_the_file_boundaries() {
    let rig = Rig::new();
    write_numbers(rig.pipe("web", Stream::Stdout, &tiny(50_000)), 0..20_000);
    assert!(matches!(rig.fact(), LogFact::Closed { .. }));
    for last in [0, 1, 2, 10, 999, 1000, 5000, 19_999, 20_000, 30_000] {
        let texts = rig.texts(&Query { last: Some(last), ..rig.query(&["web"]) });
        let expected = (20_000 - last.min(20_000))..20_000;
        assert!(texts.into_iter().eq(expected.map(|number| format!("line {number}"))), "{last}");
    }
}

#[test]
fn services_are_merged_by_time_and_since_leaves_out_what_is_older() {
    let rig = Rig::new();
    let mut web = rig.pipe("web", Stream::Stdout, &tiny(60));
    let mut db = rig.pipe("db", Stream::Stderr, &LogSettings::default());
    let mut since = Timestamp::now();
    for round in 0..4 {
        if round == 2 {
            since = Timestamp::now();
        }
        writeln!(web, "web {round}").unwrap();
        rig.flush();
        writeln!(db, "db {round}").unwrap();
        rig.flush();
    }
    let both = rig.query(&["db", "web", "absent"]);
    let all = ["web 0", "db 0", "web 1", "db 1", "web 2", "db 2", "web 3", "db 3"];
    assert_eq!(rig.texts(&both), all);
    assert_eq!(rig.texts(&Query { last: Some(3), ..both.clone() }), all[5..]);
    assert_eq!(rig.texts(&Query { since: Some(since), ..both.clone() }), all[4..]);
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(60);
    assert!(rig.texts(&Query { since: Some(later), ..both }).is_empty());
}
