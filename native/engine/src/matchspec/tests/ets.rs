//! What `ets:select` answered on OTP 25 to the specs in `ets.txt`, line by line: record, spec, answer, with tabs between them. The
//! answer is `badarg`, `[]` or a list of one term. `ets.escript` wrote the file: first specs by hand, then random ones. The environment
//! variable `REMNESIA_ETS` names another file of this kind.

use super::text::{parse, Value};
use super::{answer, program};

#[test]
fn same_answers_as_ets() {
    let (mut lines, mut bad) = (0, Vec::new());
    let other = std::env::var("REMNESIA_ETS").map(|path| std::fs::read_to_string(path).expect("a file"));
    for line in other.as_deref().unwrap_or(include_str!("ets.txt")).lines() {
        let [tuple, spec, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("three columns: {line}") };
        let tuple = parse(tuple);
        let Value::Tuple(parts) = &tuple else { panic!("a record is a tuple") };
        let got = program(spec, parts.len()).map(|program| answer(&program, &tuple));
        let same = match (&got, parse(expected)) {
            (Err(_), Value::Atom(_)) => true,
            (Ok(None), Value::Nil) => true,
            (Ok(Some(bytes)), Value::List(all, _)) => *bytes == all[0].flat(),
            _ => false,
        };
        if !same {
            let got = got.map(|value| value.map(|v| format!("{:?}", crate::term::read(&v).0)));
            bad.push(format!("{line}\n   got {got:?}"));
        }
        lines += 1;
    }
    assert!(bad.is_empty(), "{} of {lines} differ:\n{}", bad.len(), bad[..bad.len().min(20)].join("\n"));
}
