use super::*;

#[test]
fn json_words_and_settings_mean_the_same() {
    let adam = Strategy::Fedadam {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.99,
        tau: 0.001,
    };
    for text in [
        r#"{"fedadam":{"learning_rate":0.1,"beta1":0.9,"beta2":0.99,"tau":0.001}}"#,
        r#"{"fedadam":{}}"#,
        "fedadam",
        "\"fedadam\"",
        "fedadam:tau=1e-3",
    ] {
        assert_eq!(Strategy::read(text), Ok(adam), "{text}");
    }
    assert_eq!(
        adam.write(),
        "fedadam:beta1=0.9,beta2=0.99,learning_rate=0.1,tau=0.001"
    );
    assert_eq!(Strategy::read("\"median\""), Ok(Strategy::Median));
    assert_eq!(Strategy::read(&adam.write()), Ok(adam));
}

/// Reads every form shown in help; returns their words.
fn forms<T: ArgValue + Serialize>() -> Vec<String> {
    let form = |line: &str| {
        let form = line.split("  (").next().unwrap();
        let value = T::read(form).unwrap_or_else(|reason| panic!("{form}: {reason}"));
        let settled = serde_json::to_string(&value).unwrap();
        assert_eq!(
            settled.replace("1e-6", "0.000001").replace("1e-5", "0.00001"),
            form
        );
        word_of(&value)
    };
    T::FORMS.lines().map(form).collect()
}

#[test]
fn help_shows_every_rule_as_it_is_read_and_its_defaults_are_the_defaults() {
    assert_eq!(forms::<Strategy>().len(), 17);
    assert_eq!(forms::<CentralPrivacy>(), ["fixed", "adaptive"]);
    assert_eq!(forms::<Encoding>().len(), 5);
    for line in STRATEGIES.lines() {
        let strategy = Strategy::read(line.split("  (").next().unwrap()).unwrap();
        // A rule whose settings all have defaults may be given by its word alone.
        if let Ok(default) = Strategy::read(&strategy.word()) {
            assert_eq!(default, strategy);
        }
    }
}

#[test]
fn the_guide_names_every_rule_and_encoding() {
    let guide = include_str!("../../../docs/aggregation.md");
    for word in forms::<Strategy>().into_iter().chain(forms::<Encoding>()) {
        let named = guide.contains(&format!("`{word}`")) || guide.contains(&format!("`{word}:"));
        assert!(named, "docs/aggregation.md does not say what `{word}` is");
    }
}

#[test]
fn numbers_of_any_size_keep_to_the_alphabet_of_command_lines() {
    for norm in [f64::MAX, f64::MIN_POSITIVE, 1e21, 3.0] {
        let bound = Strategy::NormBound { norm };
        let word = bound.write();
        assert_eq!(crate::argv::escape(&word), word);
        assert_eq!(Strategy::read(&word), Ok(bound));
    }
}

#[test]
fn what_is_no_rule_is_refused_with_a_reason() {
    for (text, reason) in [
        ("fedvag", "unknown variant"),
        ("krum", "byzantine"),
        ("median:beta=0.1", "has no settings"),
        ("trimmed_mean:beta=0.5", "must be from 0 to below 0.5"),
        ("fedavgm:momentum=1", "must be from 0 to below 1"),
        (r#"{"fedadam":{"eta":1}}"#, "unknown field"),
        ("fedavgm:momentum=x", "is not a number"),
        ("fedavgm:momentum=0.1,momentum=0.2", "given twice"),
    ] {
        let error = Strategy::read(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_path_is_a_file_and_a_word_is_a_rule() {
    assert_eq!(
        StrategyArg::read("median"),
        Ok(StrategyArg::Given(Strategy::Median))
    );
    let file = StrategyArg::File(InputFile::from("median"));
    assert_eq!(StrategyArg::read(&file.write()), Ok(file));
    let file = StrategyArg::File(InputFile::from("/tmp/rule.json"));
    assert_eq!(StrategyArg::read("/tmp/rule.json"), Ok(file));
}

#[test]
fn a_pattern_matches_whole_names() {
    for (pattern, name, matches) in [
        ("*.bn1.*", "layer1.0.bn1.weight", true),
        ("bn1*", "bn1.weight", true),
        ("bn1*", "layer1.0.bn1.weight", false),
        ("fc.weight", "fc.weight", true),
        ("fc", "fc.weight", false),
        ("*", "", true),
        ("a*a", "a", false),
    ] {
        assert_eq!(
            NamePattern::from(pattern).matches(name),
            matches,
            "{pattern} {name}"
        );
    }
}
