//! What bounds a spec gives: never less than what matches, and as little more as said here.

use super::program;
use super::text::flat;
use crate::matchspec::variants::variants;
use crate::term::{form_len, key};
use proptest::prelude::*;

fn form(term: &str) -> Vec<u8> {
    let mut form = Vec::new();
    key::write(&flat(term), None, &mut form);
    form
}

/// Those of the terms that are within the bounds of a field; `None` if it is not bounded.
fn within<'a>(spec: &str, field: usize, terms: &[&'a str]) -> Option<Vec<&'a str>> {
    let program = program(spec, 4).expect("a good spec");
    let ranges = program.ranges(&program.alternatives(), field)?;
    assert!(ranges.is_sorted_by(|a, b| !a.range.below_end(&b.range.low)), "rising and disjoint: {ranges:?}");
    Some(terms.iter().copied().filter(|term| ranges.iter().any(|one| one.range.contains(&form(term)))).collect())
}

/// Within the bounds that a guard gives the key, of the terms from 1 to 6 and a few more.
fn guarded(guards: &str) -> Option<Vec<&'static str>> {
    let spec = format!("[{{{{r,'$1','$2','_'}},[{guards}],['$_']}}]");
    within(&spec, 0, &["1", "2", "2.5", "3", "4.0", "5", "a", "{a}"])
}

#[test]
fn comparisons() {
    assert_eq!(guarded("{'==','$1',3}"), Some(vec!["3"]));
    assert_eq!(guarded("{'==',4,'$1'}"), Some(vec!["4.0"]));
    assert_eq!(guarded("{'=:=','$1',{const,{a}}}"), Some(vec!["{a}"]));
    assert_eq!(guarded("{'<','$1',2.5}"), Some(vec!["1", "2"]));
    assert_eq!(guarded("{'>=',2.5,'$1'}"), Some(vec!["1", "2", "2.5"]));
    assert_eq!(guarded("{'>','$1',4}"), Some(vec!["5", "a", "{a}"]));
    assert_eq!(guarded("{'>','$1',2},{'=<','$1',5}"), Some(vec!["2.5", "3", "4.0", "5"]));
    assert_eq!(guarded("{'and',{'>','$1',2},{'andalso',{'<','$1',5},{is_integer,'$1'}}}"), Some(vec!["2.5", "3", "4.0"]));
    assert_eq!(guarded("{'==',{element,2,'$_'},3}"), Some(vec!["3"]));
    for unknown in ["", "{'/=','$1',3}", "{'==',{'+','$1',1},3}", "{'not',{'==','$1',3}}", "{'==','$1','$2'}", "{'<','$2',3}"] {
        assert_eq!(guarded(unknown), None, "{unknown}");
    }
}

#[test]
fn unions() {
    assert_eq!(guarded("{'or',{'==','$1',3},{'==','$1',1},{'==','$1',3.0}}"), Some(vec!["1", "3"]));
    assert_eq!(guarded("{'orelse',{'<','$1',2},{'orelse',{'>','$1',5},{'==',3,'$1'}}}"), Some(vec!["1", "3", "a", "{a}"]));
    assert_eq!(guarded("{'orelse',{'==','$1',3},{'==','$2',1}}"), None);
    assert_eq!(guarded("{'andalso',{'orelse',{'==','$1',3},{'==','$1',1}},{'<','$1',2}}"), Some(vec!["1"]));
    assert_eq!(guarded("{'orelse',{'andalso',{'>','$1',2},{'<','$1',3}},{'hd','$2'}}"), None);
    let two = "[{{r,1,'_','_'},[],[a]},{{r,'$1',x,'_'},[{'>','$1',4}],[a]}]";
    assert_eq!(within(two, 0, &["1", "2", "5"]), Some(vec!["1", "5"]));
    assert_eq!(within(two, 1, &["x"]), None);
}

#[test]
fn contradictions() {
    for guards in [
        "{'<','$1',1},{'>','$1',1}",
        "{'==','$1',1},{'==','$1',2}",
        "false",
        "{'<',2,1}",
        "{'or',{'and',{'<','$1',1},{'>','$1',2}},false}",
        "{'orelse',false,{'andalso',{'==','$2',a},{'==','$2',b}}}",
    ] {
        let spec = format!("[{{{{r,'$1','$2','_'}},[{guards}],['$_']}}]");
        assert!(program(&spec, 4).expect("a good spec").alternatives().is_empty(), "{guards}");
    }
    // 1 and 1.0 are two terms, but nothing says so before the records are seen.
    assert_eq!(guarded("{'=:=','$1',3},{'=:=','$1',3.0}"), Some(vec!["3"]));
    assert!(program("[{{x,'_','_','_'},[],[a]}]", 4).expect("a good spec").alternatives().is_empty());
}

#[test]
fn heads() {
    let terms = ["{a,1}", "{a,2}", "{a,b}", "{a}", "{b,1}", "#{}", "[a]", "a"];
    let head = |key: &str, guards: &str| within(&format!("[{{{{r,{key},'_','$9'}},[{guards}],['$_']}}]"), 0, &terms);
    assert_eq!(head("{a,'_'}", ""), Some(vec!["{a,1}", "{a,2}", "{a,b}"]));
    assert_eq!(head("{a,'$1'}", "{'>','$1',1}"), Some(vec!["{a,2}", "{a,b}"]));
    assert_eq!(head("{a,'$1'}", "{'or',{'==','$1',b},{'<','$1',2}}"), Some(vec!["{a,1}", "{a,b}"]));
    assert_eq!(head("{'$1','$2'}", "{'==','$1',a},{'=<','$2',1}"), Some(vec!["{a,1}"]));
    assert_eq!(head("{'_',1}", ""), Some(vec!["{a,1}", "{a,2}", "{a,b}", "{b,1}"]));
    assert_eq!(head("{'_'}", ""), Some(vec!["{a}"]));
    assert_eq!(head("#{a => '_'}", ""), Some(vec!["#{}"]));
    assert_eq!(head("[a|'_']", ""), Some(vec!["[a]"]));
    assert_eq!(head("'$9'", "{'==','$9',a}"), Some(vec!["a"]));
    assert_eq!(within("[{{r,'$1','$1','_'},[{'==','$1',a}],['$_']}]", 1, &terms), Some(vec!["a"]));
    // Each clause binds the key, maps being among them: a record that one key led to may match the other clause.
    let maps = "[{{r,#{},'_','_'},[],[a]},{{r,#{a => 1},'_',x},[],[a]}]";
    let program = program(maps, 4).expect("a good spec");
    for alternative in program.alternatives().chunks(1) {
        assert_eq!(program.ranges(alternative, 0).map(|ranges| ranges.len()), Some(2));
    }
}

#[test]
fn equal_terms() {
    let all = |term: &str| {
        let mut all = variants(&flat(term)).expect("not too many");
        all.sort_unstable();
        all
    };
    let flats = |terms: &[&str]| {
        let mut all: Vec<_> = terms.iter().map(|term| flat(term)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(all("1"), flats(&["1", "1.0"]));
    assert_eq!(all("-2.0"), flats(&["-2", "-2.0"]));
    assert_eq!(all("2.5"), flats(&["2.5"]));
    assert_eq!(all("0"), flats(&["0", "0.0", "-0.0"]));
    assert_eq!(all("9007199254740993"), flats(&["9007199254740993"]));
    assert_eq!(all("18446744073709551616"), flats(&["18446744073709551616", "18446744073709551616.0"]));
    assert_eq!(all("{1,[a|2]}"), flats(&["{1,[a|2]}", "{1.0,[a|2]}", "{1,[a|2.0]}", "{1.0,[a|2.0]}"]));
    assert_eq!(all("#{1 => 1,a => b}"), flats(&["#{1 => 1,a => b}", "#{1 => 1.0,a => b}"]));
    assert_eq!(all("{#{1 => 1},{},[]}").len(), 2);
    assert_eq!(variants(&flat("{1,2,3,4,5,6,7}")), None);
}

#[test]
fn many_parts() {
    // A product of unions is not multiplied out without end.
    let both = |n: usize| (0..n).map(|i| format!("{{'or',{{'==','$1',{i}}},{{'==','$2',{i}}}}}")).collect::<Vec<_>>().join(",");
    let spec = format!("[{{{{r,'$1','$2','_'}},[{}],['$_']}}]", both(40));
    assert!(program(&spec, 4).expect("a good spec").alternatives().len() <= 64);
    let mut nested = "{'==','$1',0}".to_string();
    for i in 1..900 {
        nested = format!("{{'orelse',{{'==','$1',{i}}},{nested}}}");
    }
    let spec = format!("[{{{{r,'$1','$2','_'}},[{nested}],['$_']}}]");
    let program = program(&spec, 4).expect("a good spec");
    let ranges = program.ranges(&program.alternatives(), 0).expect("bounded");
    assert_eq!(ranges.len(), 900);
    assert_eq!(program.keys(&ranges).expect("keys").len(), 1801);
}

proptest! {
    /// The end of a form is found, whatever follows it.
    #[test]
    fn form_ends(term in super::reference::data(), other in super::reference::data()) {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        key::write(&term.flat(), None, &mut one);
        key::write(&other.flat(), None, &mut two);
        let len = one.len();
        one.extend_from_slice(&two);
        prop_assert_eq!(form_len(&one), len);
        prop_assert_eq!(form_len(&one[len..]), two.len());
    }
}
