select distinct bid from pgbench_accounts;
