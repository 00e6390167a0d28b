//! The level 1 rules of a site, each in the tier it was imported for.

use super::sites::{tier_of, tier_text};
use super::{Store, StoreError, during, from_json, text, to_json};
use jiff::Timestamp;
use msp_contracts::signed::HealingTier;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;

/// A rule as it is stored.
#[derive(Debug, Serialize)]
pub(crate) struct RuleRow {
    pub(crate) site_id: String,
    pub(crate) rule_id: String,
    pub(crate) tier: HealingTier,
    pub(crate) imported_at: String,
    pub(crate) rule: Value,
}

impl Store {
    /// Replaces the rules of one tier of a site by `rules`, each with its id. Answers the ids that the
    /// other tier holds already; when there are any, nothing was changed.
    pub(crate) async fn import_rules(
        &self,
        site: &str,
        tier: HealingTier,
        rules: &[(String, Value)],
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let doing = "importing rules";
        let mut tx = self.write(doing).await?;
        sqlx::query("DELETE FROM rules WHERE site_id = $1 AND tier = $2")
            .bind(site)
            .bind(tier_text(tier))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
        let mut taken = Vec::new();
        for (id, rule) in rules {
            let done = sqlx::query(
                "INSERT INTO rules (site_id, rule_id, tier, content, imported_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (site_id, rule_id) DO NOTHING",
            )
            .bind(site)
            .bind(id)
            .bind(tier_text(tier))
            .bind(to_json("a rule", rule)?)
            .bind(text(now))
            .execute(&mut *tx)
            .await
            .map_err(during(doing))?;
            if done.rows_affected() == 0 {
                taken.push(id.clone());
            }
        }
        if taken.is_empty() {
            tx.commit().await.map_err(during(doing))?;
        }
        Ok(taken)
    }

    /// The site's tier and the rules it gets, by id; `None` when the site is unknown.
    pub(crate) async fn rules_for(&self, site: &str) -> Result<Option<(HealingTier, Vec<Value>)>, StoreError> {
        let doing = "reading a site's rules";
        // One statement, so that tier and rules belong together.
        let rows = sqlx::query(
            "SELECT s.healing_tier, r.content FROM sites s
             LEFT JOIN rules r ON r.site_id = s.site_id AND (r.tier = 'standard' OR s.healing_tier = 'full_coverage')
             WHERE s.site_id = $1 ORDER BY r.rule_id",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        let Some(first) = rows.first() else { return Ok(None) };
        let tier = tier_of(first.try_get("healing_tier").map_err(during(doing))?);
        let mut rules = Vec::with_capacity(rows.len());
        for row in &rows {
            let content: Option<&str> = row.try_get("content").map_err(during(doing))?;
            if let Some(content) = content {
                rules.push(from_json("a rule", content)?);
            }
        }
        Ok(Some((tier, rules)))
    }

    /// Every stored rule, of one site or of all, whatever tier it is for.
    pub(crate) async fn rules(&self, site: Option<&str>) -> Result<Vec<RuleRow>, StoreError> {
        let doing = "listing the rules";
        let rows = sqlx::query(
            "SELECT site_id, rule_id, tier, content, imported_at FROM rules
             WHERE site_id = COALESCE($1, site_id) ORDER BY site_id, rule_id",
        )
        .bind(site)
        .fetch_all(&self.readers)
        .await
        .map_err(during(doing))?;
        rows.iter()
            .map(|row| {
                Ok(RuleRow {
                    site_id: row.try_get("site_id").map_err(during(doing))?,
                    rule_id: row.try_get("rule_id").map_err(during(doing))?,
                    tier: tier_of(row.try_get("tier").map_err(during(doing))?),
                    imported_at: row.try_get("imported_at").map_err(during(doing))?,
                    rule: from_json("a rule", row.try_get("content").map_err(during(doing))?)?,
                })
            })
            .collect()
    }
}
