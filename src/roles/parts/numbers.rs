//! Makes the rules for registration numbers.

use crate::config::Config;
use crate::domain::NumberRules;

pub(crate) fn number_rules(config: &Config) -> NumberRules {
    NumberRules {
        template: config.number.template.clone(),
        unique: config.number.unique,
        zone: config.number.time_zone.clone(),
        tolerance: config.opencrvs.stamp_tolerance,
    }
}
