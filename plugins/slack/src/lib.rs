//! Stock plugin `slack`. Events as messages to a Slack channel.
