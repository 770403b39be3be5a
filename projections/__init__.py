"""Tables for people, made from the log: they can be dropped and rebuilt, and nothing that trades reads them."""
