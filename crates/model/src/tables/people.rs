//! Persons, the records they are known by, the organizations they belong to.

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
    meaning: "one human being, as far as is known",
    columns: &[
        col("display_name", Text, "the name to show").personal(),
        col("first_name", Text, "given name").personal(),
        col("last_name", Text, "family name").personal(),
        col("email", Text, "e-mail address, trimmed and in lower case").personal(),
        col("email_verified", Bool, "whether the address was confirmed"),
        col("phone", Text, "phone number as the source wrote it").personal(),
        col("phone_verified", Bool, "whether the number was confirmed"),
        col(
            "email_domain",
            Text,
            "the part of the e-mail address after the @",
        ),
        col("date_of_birth", Date, "when they were born").personal(),
        col(
            "address_line1",
            Text,
            "street and number of the main address",
        )
        .personal(),
        col(
            "address_line2",
            Text,
            "unit, floor, care of, of the main address",
        )
        .personal(),
        col("job_title", Text, "title at work"),
        col("department", Text, "department at work"),
        col(
            "organization_id",
            Text,
            "external id of the organization they belong to",
        ),
        col(
            "reports_to",
            Text,
            "external id of the person they report to",
        ),
        col("assigned_to", Text, "the user who looks after them"),
        col("next_follow_up_date", Date, "when to get in touch next"),
        col("preferred_contact_method", Text, "email, phone or sms"),
        col("city", Text, "city of the main address"),
        col(
            "region",
            Text,
            "ISO 3166-2 state or province of the main address, without the country",
        ),
        col(
            "postal_code",
            Text,
            "postal code of the main address, zeros kept",
        ),
        col(
            "country",
            Text,
            "ISO 3166-1 alpha-2 country of the main address",
        ),
        col("timezone", Text, "IANA time zone"),
        col("is_user", Bool, "has a login"),
        col("is_customer", Bool, "has bought"),
        col("is_lead", Bool, "is an active sales lead"),
        col("is_contact", Bool, "is a contact in the CRM"),
        col("is_vendor", Bool, "supplies to the business"),
        col("is_employee", Bool, "works for the business"),
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
        col(
            "source",
            Text,
            "where the person came from, in the source's words",
        ),
        col("tags", TextList, "labels"),
        col("note", Text, "free text about them").personal(),
        col("loyalty_points", Int, "points held").unit("points"),
        col("loyalty_tier", Text, "tier of the loyalty program"),
        col("vip_status", Bool, "marked as a very important customer"),
        col("accepts_email_marketing", Bool, "may be mailed").with_history(),
        col("accepts_sms_marketing", Bool, "may be texted").with_history(),
        col(
            "marketing_opt_in_date",
            Time,
            "when marketing was agreed to",
        ),
        col("gdpr_consent", Bool, "agreed to processing").with_history(),
        col("gdpr_consent_date", Time, "when that was agreed to"),
        col("data_retention_date", Date, "until when data may be kept"),
        col("custom", Json, "fields of the source without a column here"),
        col("created_at", Time, "when the source first had them").immutable(),
        col("updated_at", Time, "when the source last changed them"),
        col(
            "last_seen_at",
            Time,
            "when they were last seen by the source",
        ),
    ],
};

pub(super) const IDENTITIES: TableDef = TableDef {
    name: "identities",
    shape: Shape::Own,
    time: None,
    meaning: "one record of a person at a provider",
    columns: &[
        col("identity_id", Int, "given by rollbook, never reused")
            .required()
            .immutable(),
        col(
            "person_id",
            Int,
            "the person it belongs to; 0 = not linked yet",
        )
        .required(),
        col("provider", Text, "the system that holds the record")
            .required()
            .immutable(),
        col("external_id", Text, "the record's id there")
            .required()
            .immutable(),
        col(
            "identity_type",
            Text,
            "external_id, or email or phone where the source has nothing else",
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
            "stands for the e-mail address where records are compared",
        )
        .personal(),
        col("phone_token", Text, "stands for the phone number").personal(),
        col(
            "address_token",
            Text,
            "stands for first name, surname and address",
        )
        .personal(),
        col(
            "household_token",
            Text,
            "stands for surname and address, and apart from them for first name and date of birth",
        )
        .personal(),
        col("name_token", Text, "stands for the name").personal(),
    ],
};

pub(super) const ORGANIZATIONS: TableDef = reference(
    "organizations",
    "a company or other body",
    &[
        col("name", Text, "its name"),
        col("domain", Text, "its main internet domain"),
        col("industry", Text, "its line of business"),
        col("employee_count", Int, "people employed").unit("persons"),
        col("annual_revenue", Decimal, "revenue of a year").unit("currency"),
        col("currency", Text, "ISO 4217 code of its amounts"),
        col(
            "parent_id",
            Text,
            "external id of the organization above it",
        ),
        col("country", Text, "ISO 3166-1 alpha-2 country"),
        col("credit_limit", Decimal, "credit it is given").unit("currency"),
        col("payment_terms", Text, "such as net 30"),
        col("balance", Decimal, "what it owes").unit("currency"),
        col("custom", Json, "fields of the source without a column here"),
        col("created_at", Time, "when the source first had it").immutable(),
        col("updated_at", Time, "when the source last changed it"),
    ],
);

pub(super) const PERSON_ORGANIZATIONS: TableDef = fact(
    "person_organizations",
    None,
    "a person's place in an organization",
    &[
        col("organization_id", Text, "external id of the organization").required(),
        col("role", Text, "what they do there"),
        col("since", Date, "from when"),
        col("until", Date, "until when"),
    ],
);

pub(super) const ADDRESSES: TableDef = fact(
    "addresses",
    None,
    "a postal address of a person, an organization or an order",
    &[
        col("entity_type", Text, "person, organization or order").required(),
        col("entity_id", Text, "external id of what it belongs to"),
        col("address_type", Text, "billing, shipping, business or home"),
        col("label", Text, "the source's own name for it"),
        col("line1", Text, "street and number").personal(),
        col("line2", Text, "unit, floor, care of").personal(),
        col("city", Text, "city"),
        col(
            "region",
            Text,
            "ISO 3166-2 state or province, without the country",
        ),
        col("postal_code", Text, "postal code, zeros kept"),
        col("country", Text, "ISO 3166-1 alpha-2 country"),
        col("latitude", Float, "latitude").unit("degrees"),
        col("longitude", Float, "longitude").unit("degrees"),
        col("is_validated", Bool, "whether the address was checked"),
        col("is_default", Bool, "whether it is the main one"),
    ],
);
