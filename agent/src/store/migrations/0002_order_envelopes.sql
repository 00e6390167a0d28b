-- What Central Command signed, word for word: whoever carries an order out as root judges it anew. Null for a refused order.
ALTER TABLE orders ADD COLUMN envelope TEXT;
