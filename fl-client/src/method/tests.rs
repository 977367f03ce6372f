use contract::exit::JobExit;

use super::check_flag;

#[test]
fn a_flag_is_there_exactly_when_the_recipe_needs_it() {
    assert!(check_flag(true, true, "--x", "needs it").is_ok());
    assert!(check_flag(false, false, "--x", "does not").is_ok());
    let missing = check_flag(true, false, "--x", "needs it").unwrap_err();
    assert_eq!(missing.exit, JobExit::Usage);
    assert_eq!(missing.message, "`--x` is missing: the recipe needs it");
    let idle = check_flag(false, true, "--x", "does not").unwrap_err();
    assert_eq!(idle.message, "`--x` has no effect: the recipe does not");
}
