INSERT INTO flights_sink
SELECT
  id,
  date,
  origin,
  destination,
  delay,
  distance * 1.609344 AS distance_km,
  delay > 15 AS late,
  UPPER(origin || '-' || destination) AS route
FROM flights_stream
WHERE distance > 0
