-- Helium's role and its database. Can be run again: a role that exists gets the password that is given now.
-- The password comes from the environment: on a command line everybody on the machine could read it.
\set ON_ERROR_STOP on
\getenv password HELIUM_PASSWORD
SELECT 'CREATE ROLE helium LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'helium') \gexec
ALTER ROLE helium WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SELECT 'CREATE DATABASE helium OWNER helium' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'helium') \gexec
REVOKE CONNECT ON DATABASE helium FROM PUBLIC;
