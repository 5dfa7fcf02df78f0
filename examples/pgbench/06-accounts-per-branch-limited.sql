select bid, count(1) from pgbench_accounts group by bid limit 1000;
