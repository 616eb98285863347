//! Journeys to credits: what the money came from, by model and channel, exact to the cent.
