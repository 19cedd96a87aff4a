//! Lays `run.json` out: indented to be read and compared line by line, with each small record on one line.
//!
//! A plain pretty-printer would spend a line on every field of every second and of every histogram.

/// Containers this deep that hold no others stay on one line: counters, intervals, histograms of a pass.
const ONE_LINE_FROM_DEPTH: usize = 4;

/// Indents JSON that has no white space outside its strings.
pub(super) fn pretty(compact: &str) -> String {
    let leaves = leaves(compact);
    let mut out = String::with_capacity(compact.len() * 5 / 4);
    let mut depth = 0;
    // Some: inside a container that stays on one line, up to this byte.
    let mut one_line_until: Option<usize> = None;
    let mut in_string = false;
    let mut escaped = false;
    for (i, c) in compact.char_indices() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                depth += 1;
                let end = leaves.get(&i).copied();
                let empty = compact.as_bytes().get(i + 1).is_some_and(|next| matches!(next, b'}' | b']'));
                if one_line_until.is_none() && (empty || depth >= ONE_LINE_FROM_DEPTH) {
                    one_line_until = end;
                }
                if one_line_until.is_none() {
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                if one_line_until.is_none() {
                    new_line(&mut out, depth);
                }
                if one_line_until == Some(i) {
                    one_line_until = None;
                }
                out.push(c);
            }
            ',' if one_line_until.is_none() => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ',' | ':' => {
                out.push(c);
                out.push(' ');
            }
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Where each container that holds no other one opens, and where it closes.
fn leaves(compact: &str) -> std::collections::HashMap<usize, usize> {
    let mut leaves = std::collections::HashMap::new();
    let mut innermost: Option<usize> = None;
    let (mut in_string, mut escaped) = (false, false);
    for (i, byte) in compact.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => innermost = Some(i),
            b'}' | b']' => {
                if let Some(open) = innermost.take() {
                    leaves.insert(open, i);
                }
            }
            _ => {}
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_stay_on_one_line_and_strings_are_left_alone() {
        let compact = r#"{"a":"x,{\"y\":\\","e":[],"p":[{"c":[{"n":{"k":1,"h":"=="},"l":"m"}]}]}"#;
        insta::assert_snapshot!(pretty(compact), @r#"
        {
          "a": "x,{\"y\":\\",
          "e": [],
          "p": [
            {
              "c": [
                {
                  "n": {"k": 1, "h": "=="},
                  "l": "m"
                }
              ]
            }
          ]
        }
        "#);
    }

    proptest::proptest! {
        #[test]
        fn the_layout_changes_no_value(text in ".*", numbers in proptest::collection::vec(0_u64.., 0..4)) {
            let value = serde_json::json!({ "t": text, "d": [[[[numbers, {"k": text}], {}]]] });
            let laid_out = pretty(&value.to_string());
            proptest::prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&laid_out).unwrap(), value);
        }
    }
}
