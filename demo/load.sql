-- The writing load: pgbench runs this transaction over and over, from several clients.
--
-- It moves stock, changes a line of an order and, one time in fifty, takes a new order; at every COMMIT the pieces in stock
-- are what they were, and the total of each order is the sum of its lines.

\set item random(1, 200)
\set from random(1, 5)
\set to 1 + (:from + random(0, 3)) % 5
\set wanted random(1, 20)
\set order random(1, 3000)
\set new random(1, 50)
\set amended random(1, 9)
\set customer random(1, 200)
\set days random(3, 30)
\set first 1 + :item % 40
\set second 1 + (:item + :days) % 40

BEGIN;

-- One mover an item: what is taken was there.
SELECT pg_advisory_xact_lock(:item);
SELECT least(:wanted, pieces) AS moved
  FROM stock WHERE item_id = :item AND location = (ARRAY['east', 'north', 'shop floor', 'south', 'west'])[:from] \gset
UPDATE stock SET pieces = pieces - :moved
 WHERE item_id = :item AND location = (ARRAY['east', 'north', 'shop floor', 'south', 'west'])[:from];
UPDATE stock SET pieces = pieces + :moved
 WHERE item_id = :item AND location = (ARRAY['east', 'north', 'shop floor', 'south', 'west'])[:to];

-- The order is locked first, so that nobody else changes a line between our line and our total.
SELECT order_id FROM orders WHERE order_id = :order FOR UPDATE;
UPDATE order_lines SET pieces = :amended, amount = :amended * price WHERE order_id = :order AND line_no = 1;
UPDATE orders SET total = (SELECT sum(amount) FROM order_lines WHERE order_id = :order) WHERE order_id = :order;

\if :new = 1
INSERT INTO orders (customer, ordered_on, due_on, total)
VALUES ('customer ' || :customer::int, current_date, current_date + :days::int, 0) RETURNING order_id AS new_order \gset
INSERT INTO order_lines
SELECT :new_order, row_number() OVER (ORDER BY item_id), item_id, :amended, price, :amended * price
  FROM items WHERE item_id IN (:first, :second);
UPDATE orders SET total = (SELECT sum(amount) FROM order_lines WHERE order_id = :new_order) WHERE order_id = :new_order;
\endif

COMMIT;
