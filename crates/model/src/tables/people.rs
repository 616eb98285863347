//! Persons, their records, organizations and addresses.

use super::{fact, reference};
use crate::table::ColumnType::{Bool, Date, Decimal, Float, Int, Json, Text, TextList, Time};
use crate::table::{ColumnDef, Shape, TableDef};

const fn col(name: &'static str, ty: crate::ColumnType, meaning: &'static str) -> ColumnDef {
    ColumnDef::new(name, ty, meaning)
}

pub(super) const PERSONS: TableDef = TableDef {
    name: "persons",
    shape: Shape::Person,
    time: None,
    meaning: "a person, known from one or more records",
    columns: &[
        col("display_name", Text, "name to display").personal(),
        col("first_name", Text, "given name").personal(),
        col("last_name", Text, "family name").personal(),
        col("email", Text, "e-mail address, trimmed and in lower case").personal(),
        col("email_verified", Bool, "whether the address was confirmed"),
        col("phone", Text, "phone number as the source wrote it").personal(),
        col("phone_verified", Bool, "whether the number was confirmed"),
        col(
            "email_domain",
            Text,
            "part of the e-mail address after the @",
        ),
        col("date_of_birth", Date, "date of birth").personal(),
        col(
            "address_line1",
            Text,
            "street and number of the main address",
        )
        .personal(),
        col(
            "address_line2",
            Text,
            "unit, floor or care-of name of the main address",
        )
        .personal(),
        col("job_title", Text, "title at work"),
        col("department", Text, "department at work"),
        col("organization_id", Text, "external id of their organization"),
        col("reports_to", Text, "external id of their manager"),
        col("assigned_to", Text, "user who is responsible for them"),
        col("next_follow_up_date", Date, "when to contact them next"),
        col(
            "preferred_contact_method",
            Text,
            "preferred contact method: email, phone or sms",
        ),
        col("city", Text, "city of the main address"),
        col(
            "region",
            Text,
            "ISO 3166-2 state or province of the main address, without the country",
        ),
        col(
            "postal_code",
            Text,
            "postal code of the main address, with leading zeros",
        ),
        col(
            "country",
            Text,
            "ISO 3166-1 alpha-2 country of the main address",
        ),
        col("timezone", Text, "IANA time zone, such as Europe/Berlin"),
        col("is_user", Bool, "whether they have a login"),
        col("is_customer", Bool, "whether they have bought"),
        col("is_lead", Bool, "whether they are an active sales lead"),
        col("is_contact", Bool, "whether they are a contact in the CRM"),
        col("is_vendor", Bool, "whether they are a supplier"),
        col("is_employee", Bool, "whether they are an employee"),
        col(
            "lifecycle_stage",
            Text,
            "visitor, lead, contact, customer or evangelist",
        )
        .with_history(),
        col(
            "lead_status",
            Text,
            "new, contacted, qualified, unqualified …",
        )
        .with_history(),
        col("source", Text, "origin of the person, as in the source"),
        col("tags", TextList, "tags of the person"),
        col("note", Text, "free text about them").personal(),
        col("loyalty_points", Int, "loyalty points").unit("points"),
        col("loyalty_tier", Text, "tier of the loyalty program"),
        col(
            "vip_status",
            Bool,
            "whether they are marked as an important customer",
        ),
        col(
            "accepts_email_marketing",
            Bool,
            "whether they accept marketing by e-mail",
        )
        .with_history(),
        col(
            "accepts_sms_marketing",
            Bool,
            "whether they accept marketing by SMS",
        )
        .with_history(),
        col(
            "marketing_opt_in_date",
            Time,
            "when they accepted marketing",
        ),
        col(
            "gdpr_consent",
            Bool,
            "whether they consented to the processing of their data",
        )
        .with_history(),
        col("gdpr_consent_date", Time, "when they consented"),
        col(
            "data_retention_date",
            Date,
            "last day on which their data may be kept",
        ),
        col("custom", Json, "other fields of the source"),
        col("created_at", Time, "when the source created the person").immutable(),
        col(
            "updated_at",
            Time,
            "when the source last changed the person",
        ),
        col("last_seen_at", Time, "when the source last saw the person"),
    ],
};

pub(super) const IDENTITIES: TableDef = TableDef {
    name: "identities",
    shape: Shape::Own,
    time: None,
    meaning: "a record of a person at a provider",
    columns: &[
        col(
            "identity_id",
            Int,
            "id of the record, assigned by rollbook and never reused",
        )
        .required()
        .immutable(),
        col(
            "person_id",
            Int,
            "person that the record belongs to; 0 = not linked yet",
        )
        .required(),
        col("provider", Text, "system that holds the record")
            .required()
            .immutable(),
        col("external_id", Text, "id of the record in that system")
            .required()
            .immutable(),
        col(
            "identity_type",
            Text,
            "kind of that id: external_id, or email or phone if the source has no id",
        )
        .required(),
        col(
            "first_seen_at",
            Time,
            "created_at of the record when it was first read",
        ),
        col(
            "last_seen_at",
            Time,
            "updated_at of the record when it last changed",
        ),
        col(
            "email_token",
            Text,
            "keyed hash of the e-mail address, by which records are compared",
        )
        .personal(),
        col("phone_token", Text, "keyed hash of the phone number").personal(),
        col(
            "address_token",
            Text,
            "keyed hash of first name, last name and address",
        )
        .personal(),
        col(
            "household_token",
            Text,
            "keyed hashes: one of last name and address, others of first name and of date of birth",
        )
        .personal(),
        col("name_token", Text, "keyed hash of the name").personal(),
    ],
};

pub(super) const ORGANIZATIONS: TableDef = reference(
    "organizations",
    "a company or other organization",
    &[
        col("name", Text, "name of the organization"),
        col("domain", Text, "main internet domain"),
        col("industry", Text, "industry"),
        col("employee_count", Int, "number of employees").unit("persons"),
        col("annual_revenue", Decimal, "annual revenue").unit("currency"),
        col("currency", Text, "ISO 4217 code of its amounts"),
        col("parent_id", Text, "external id of the parent organization"),
        col("country", Text, "ISO 3166-1 alpha-2 country"),
        col("credit_limit", Decimal, "credit limit").unit("currency"),
        col("payment_terms", Text, "payment terms, such as net 30"),
        col("balance", Decimal, "balance that it owes").unit("currency"),
        col("custom", Json, "other fields of the source"),
        col("created_at", Time, "when the source created it").immutable(),
        col("updated_at", Time, "when the source last changed it"),
    ],
);

pub(super) const PERSON_ORGANIZATIONS: TableDef = fact(
    "person_organizations",
    None,
    "membership of a person in an organization",
    &[
        col("organization_id", Text, "external id of the organization").required(),
        col("role", Text, "role of the person there"),
        col("since", Date, "first day"),
        col("until", Date, "last day"),
    ],
);

pub(super) const ADDRESSES: TableDef = fact(
    "addresses",
    None,
    "a postal address of a person, an organization or an order",
    &[
        col(
            "entity_type",
            Text,
            "kind of its owner: person, organization or order",
        )
        .required(),
        col(
            "entity_id",
            Text,
            "external id of the person, organization or order",
        ),
        col(
            "address_type",
            Text,
            "type: billing, shipping, business or home",
        ),
        col("label", Text, "label of the address in the source"),
        col("line1", Text, "street and number").personal(),
        col("line2", Text, "unit, floor or care-of name").personal(),
        col("city", Text, "city"),
        col(
            "region",
            Text,
            "ISO 3166-2 state or province, without the country",
        ),
        col("postal_code", Text, "postal code, with leading zeros"),
        col("country", Text, "ISO 3166-1 alpha-2 country"),
        col("latitude", Float, "latitude").unit("degrees"),
        col("longitude", Float, "longitude").unit("degrees"),
        col("is_validated", Bool, "whether the address was validated"),
        col("is_default", Bool, "whether it is the main address"),
    ],
);

pub(super) const CONSENTS: TableDef = fact(
    "consents",
    Some("at"),
    "a consent that a person gave or withdrew; the latest one counts",
    &[
        col(
            "purpose",
            Text,
            "what for: marketing, processing, or one of the tenant's own",
        )
        .required()
        .immutable(),
        col(
            "channel",
            Text,
            "channel of marketing: email or sms; empty = every channel",
        )
        .immutable(),
        col("granted", Bool, "whether it was given; false = withdrawn")
            .required()
            .immutable(),
        col("at", Time, "when it was given or withdrawn")
            .required()
            .immutable(),
        col("source", Text, "where: form, shop, phone …").immutable(),
        col(
            "proof",
            Text,
            "how it can be proved: text of the form, address, recording",
        )
        .personal()
        .immutable(),
    ],
);
