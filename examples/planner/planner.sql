-- What planner.sh asks for: the moment, and what the orders come to at that moment.
BEGIN;
-- asofs.view first: from here on the tables are what it says, until the end of the transaction.
SELECT coalesce(max(moment) FILTER (WHERE state = 'current'), '-infinity') AS moment,
       count(*) FILTER (WHERE state = 'current') = 1 AS is_current
FROM asofs.view WHERE name = :'name' \gset
\if :is_current
SELECT :'moment', count(*), sum(total) FROM orders;
\endif
COMMIT;
