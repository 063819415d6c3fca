//! Tests of the configuration as a whole.

mod diff;
mod errors;
mod every_key;
mod health;
mod hostile;
mod plugins;
mod reference;
mod values;

use std::path::Path;

use super::{Config, Environment, ServiceConfig, load_str};

/// An environment with a home and the given variables.
fn environment(vars: &[(&str, &str)]) -> Environment {
    let home = [("HOME", "/home/me"), ("XDG_RUNTIME_DIR", "/run/user/7")];
    let vars = home.iter().chain(vars);
    Environment {
        vars: vars.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        is_root: false,
    }
}

/// What `load` makes of a text: errors or warnings as they are shown, "fine" for neither.
fn report(text: &str) -> String {
    let env = environment(&[("PORT", "8080"), ("EMPTY", "")]);
    match load_str(Path::new("/conf/services.yaml"), text, &env) {
        Ok(loaded) if loaded.warnings.is_empty() => "fine".to_owned(),
        Ok(loaded) => {
            let warnings = loaded.warnings.iter().map(|warning| format!("warning: {warning}"));
            warnings.collect::<Vec<_>>().join("\n\n")
        }
        Err(errors) => errors.to_string(),
    }
}

/// The configuration that a text without mistakes gives.
fn config(text: &str) -> Config {
    match load_str(Path::new("/conf/services.yaml"), text, &environment(&[("PORT", "8080")])) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

/// The service of that name.
fn service<'a>(config: &'a Config, name: &str) -> &'a ServiceConfig {
    let mut services = config.services.iter();
    services.find(|service| &*service.spec.name == name).expect("the service is there")
}
