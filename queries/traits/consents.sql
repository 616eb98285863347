-- purpose: the consents of each person: the latest of each purpose and channel
-- parameters: none
-- output: person_id bigint, accepts_email_marketing boolean, accepts_sms_marketing boolean,
--   marketing_opt_in_date time, gdpr_consent boolean, gdpr_consent_date time; each null without a consent
--   for it
--
-- A consent to marketing without a channel is for every channel. Of two at one moment, the one that
-- withdraws counts.
select
    person_id,
    last_value(granted order by at, not granted) filter (
        where purpose = 'marketing' and (channel is null or channel = 'email')
    ) as accepts_email_marketing,
    last_value(granted order by at, not granted) filter (
        where purpose = 'marketing' and (channel is null or channel = 'sms')
    ) as accepts_sms_marketing,
    max(at) filter (where purpose = 'marketing' and granted) as marketing_opt_in_date,
    last_value(granted order by at, not granted) filter (
        where purpose = 'processing'
    ) as gdpr_consent,
    max(at) filter (where purpose = 'processing' and granted) as gdpr_consent_date
from consents
where person_id <> 0
group by person_id
